package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"

	"github.com/trivium-hub/trivium/cmd/trivium/internal/settings"
	"github.com/trivium-hub/trivium/transports"
)

// AdminAccess holds the flags of the commands that send requests to the admin listener of a hub.
type AdminAccess struct {
	AdminURL       string `name:"admin-url" default:"http://127.0.0.1:3002" env:"TRIVIUM_ADMIN_URL" help:"URL of the hub's admin listener (its --admin), http or https."`
	AdminTokenFile string `name:"admin-token-file" env:"TRIVIUM_ADMIN_TOKEN_FILE" placeholder:"FILE" help:"File with the token of the admin listener, if the hub has --admin-token-file."`
}

// authorize adds the token to a request to the admin listener.
func (c *AdminAccess) authorize(r *http.Request) error {
	if c.AdminTokenFile == "" {
		return nil
	}
	content, err := settings.ReadSecret(c.AdminTokenFile)
	if err != nil {
		return fmt.Errorf("--admin-token-file: %w", err)
	}
	token, err := settings.ParseAdminToken(content)
	if err != nil {
		return fmt.Errorf("--admin-token-file: %s: %w", c.AdminTokenFile, err)
	}
	r.Header.Set("Authorization", "Bearer "+token)
	return nil
}

// checkAdminURL returns a fault if text is not an http or https URL.
func checkAdminURL(text string) []settings.Fault {
	base, err := url.Parse(text)
	if err != nil || base.Scheme != "http" && base.Scheme != "https" || base.Host == "" {
		return settings.Faults("admin-url", fmt.Sprintf("want a URL such as http://127.0.0.1:3002, got %q", text))
	}
	return nil
}

// askAdmin sends a request to an admin listener. It returns an error for any status other than 200.
func askAdmin(ctx context.Context, method string, admin *AdminAccess, path string) (*http.Response, error) {
	target, err := url.JoinPath(admin.AdminURL, path)
	if err != nil {
		return nil, err
	}
	request, err := http.NewRequestWithContext(ctx, method, target, nil)
	if err != nil {
		return nil, err
	}
	if err := admin.authorize(request); err != nil {
		return nil, err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil || response.StatusCode == http.StatusOK {
		return response, err
	}
	defer response.Body.Close()
	var problem struct{ Title, Detail string }
	if json.NewDecoder(io.LimitReader(response.Body, 64<<10)).Decode(&problem) != nil {
		return nil, fmt.Errorf("%s answered %s", target, transports.Printable(response.Status))
	}
	return nil, errors.New(transports.Printable(problem.Title + ": " + problem.Detail))
}
