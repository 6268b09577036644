package main

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/trivium-hub/trivium/auth"
	"github.com/trivium-hub/trivium/cmd/trivium/internal/settings"
	"github.com/trivium-hub/trivium/hub"
)

const (
	// jwtLife is the default lifetime of a JWT.
	jwtLife = time.Hour
	// maxTokenFile is the maximum size of a tokens file or key file, in bytes. Package auth has limits of its own.
	maxTokenFile = 16 << 20
)

// TokenCmd creates a token: an opaque token, whose hash it adds to a tokens file, or a JWT.
type TokenCmd struct {
	Tokens            string `placeholder:"FILE" help:"Create a random token and add its hash to this tokens file; created if missing."`
	JWTSecretFile     string `name:"jwt-secret-file" placeholder:"FILE" help:"Create a JWT signed with HS256 and the secret in this file."`
	JWTPrivateKeyFile string `name:"jwt-private-key-file" placeholder:"FILE" help:"Create a JWT signed with the private key in this PEM file: RS256, ES256 or EdDSA, depending on the key."`

	Check      string `placeholder:"TOKEN" help:"Instead of creating a token, print the rights of this token, or why a hub with --tokens, --jwt-secret-file or --jwt-key-file refuses it. - reads the token from standard input, where other users cannot see it."`
	JWTKeyFile string `name:"jwt-key-file" placeholder:"FILE" help:"PEM file with public keys, for --check."`

	Subscribe []string `sep:"none" placeholder:"FILTER" help:"Topic filter that the token may subscribe to. Repeatable. Default: none."`
	Publish   []string `sep:"none" placeholder:"FILTER" help:"Topic filter that the token may publish to. Repeatable. Default: none."`
	Expires   string   `placeholder:"WHEN" help:"Expiry of the token: a duration from now such as 24h, or a time such as 2030-01-31T00:00:00Z. Default: 1h for a JWT, never for an opaque token."`

	KID      string `name:"kid" placeholder:"ID" help:"ID of the key (kid), for the header of a JWT."`
	Issuer   string `help:"Issuer (iss) of a JWT."`
	Audience string `help:"Audience (aud) of a JWT."`
	ID       string `name:"id" placeholder:"JTI" help:"ID (jti) of a JWT, by which it can be revoked. Default: a random UUID."`

	Name string `arg:"" optional:"" help:"Name of the token: the name of its entry, or the subject (sub) of a JWT."`

	subscribe, publish []hub.Filter // set by check
	expires            time.Time    // set by check; zero: never
}

// Help describes the output.
func (TokenCmd) Help() string {
	return "Set one of --tokens, --jwt-secret-file and --jwt-private-key-file. The token is printed once, alone " +
		"on standard output; the tokens file stores its SHA-256 hash only."
}

func (c *TokenCmd) check() []settings.Fault {
	if c.Check != "" {
		return c.checkCheck()
	}
	destinations := 0
	for _, file := range []string{c.Tokens, c.JWTSecretFile, c.JWTPrivateKeyFile} {
		if file != "" {
			destinations++
		}
	}
	var faults []settings.Fault
	if c.JWTKeyFile != "" {
		faults = append(faults, settings.Faults("jwt-key-file", "requires --check")...)
	}
	if destinations != 1 {
		detail := fmt.Sprintf("want one of --tokens, --jwt-secret-file and --jwt-private-key-file, got %d", destinations)
		faults = append(faults, settings.Fault{Setting: "--tokens", Detail: detail})
	}
	if c.Name == "" {
		faults = append(faults, settings.Fault{Setting: "<name>", Detail: "want a name, got none"})
	}
	faults = append(faults, parseFilters(&c.subscribe, "subscribe", c.Subscribe)...)
	faults = append(faults, parseFilters(&c.publish, "publish", c.Publish)...)
	faults = append(faults, settings.Faults("expires", c.parseExpires(time.Now()))...)
	if c.Tokens != "" {
		for _, f := range []struct{ flag, value string }{
			{"kid", c.KID}, {"issuer", c.Issuer}, {"audience", c.Audience}, {"id", c.ID},
		} {
			if f.value != "" {
				faults = append(faults, settings.Fault{Setting: "--" + f.flag, Detail: "applies to JWTs only, not to --tokens"})
			}
		}
	}
	return faults
}

func parseFilters(target *[]hub.Filter, flag string, texts []string) []settings.Fault {
	var faults []settings.Fault
	for _, text := range texts {
		filter, err := hub.ParseFilter(text)
		var invalid *hub.InvalidError
		if errors.As(err, &invalid) {
			faults = append(faults, settings.Fault{Setting: "--" + flag, Detail: fmt.Sprintf("%s, got %q", invalid.Detail, text)})
			continue
		}
		*target = append(*target, filter)
	}
	return faults
}

// parseExpires sets c.expires from the value of --expires. It returns a description of the fault, or "".
func (c *TokenCmd) parseExpires(now time.Time) string {
	if c.Expires == "" {
		if c.Tokens == "" {
			c.expires = now.Add(jwtLife)
		}
		return ""
	}
	if life, err := time.ParseDuration(c.Expires); err == nil {
		c.expires = now.Add(life).Truncate(time.Second)
	} else if c.expires.UnmarshalText([]byte(c.Expires)) != nil {
		return fmt.Sprintf("want a duration such as 24h or a time such as 2030-01-31T00:00:00Z, got %q", c.Expires)
	}
	if !c.expires.After(now) {
		return fmt.Sprintf("want a time at least one second in the future, got %q", c.Expires)
	}
	return ""
}

// Run creates a token and prints it, or checks one.
func (c *TokenCmd) Run(con *console) error {
	if c.Check != "" {
		return c.runCheck(con)
	}
	token, err := c.make()
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(con.Out, token)
	return err
}

func (c *TokenCmd) make() (string, error) {
	if c.Tokens != "" {
		token := auth.NewToken()
		err := changeFile(c.Tokens, func(old []byte) ([]byte, error) {
			return auth.AppendToken(old, auth.TokenEntry{
				Name: c.Name, Token: token, Subscribe: c.subscribe, Publish: c.publish, Expires: c.expires,
			})
		})
		return token, err
	}
	key, err := c.signingKey()
	if err != nil {
		return "", err
	}
	id := c.ID
	if id == "" {
		id = uuid.NewString()
	}
	return key.Mint(c.KID, auth.Claims{
		Subject: c.Name, ID: id, Issuer: c.Issuer, Audience: c.Audience,
		Subscribe: c.subscribe, Publish: c.publish, Expires: c.expires,
	})
}

func (c *TokenCmd) signingKey() (*auth.SigningKey, error) {
	path, parse := c.JWTSecretFile, auth.NewSecretKey
	if path == "" {
		path, parse = c.JWTPrivateKeyFile, auth.NewPrivateKey
	}
	text, err := settings.ReadBounded(path, maxTokenFile)
	if err != nil {
		return nil, err
	}
	key, err := parse(text)
	if err != nil {
		return nil, inFile(path, err)
	}
	return key, nil
}

// inFile prefixes each line of an error with the file's path.
func inFile(path string, err error) error {
	lines := strings.Split(err.Error(), "\n")
	for i, line := range lines {
		lines[i] = path + ": " + line
	}
	return errors.New(strings.Join(lines, "\n"))
}
