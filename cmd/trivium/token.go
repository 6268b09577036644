package main

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/trivium-hub/trivium/auth"
	"github.com/trivium-hub/trivium/hub"
)

const (
	// jwtLife is how long a JWT is good if nothing is said.
	jwtLife = time.Hour
	// maxTokenFile is what auth takes of a file, in bytes; it says what is too large.
	maxTokenFile = 16 << 20
)

// TokenCmd makes a token: an opaque one, whose hash it adds to a tokens file, or a JWT.
type TokenCmd struct {
	Tokens            string `placeholder:"FILE" help:"Make a random token and add its hash to this tokens file, which may be new."`
	JWTSecretFile     string `name:"jwt-secret-file" placeholder:"FILE" help:"Make a JWT, signed by HS256 with the secret in this file."`
	JWTPrivateKeyFile string `name:"jwt-private-key-file" placeholder:"FILE" help:"Make a JWT, signed with the private key in this PEM file: RS256, ES256 or EdDSA, by its kind."`

	Subscribe []string `sep:"none" placeholder:"FILTER" help:"Topic filter that the token may subscribe to. Repeatable; without it, none."`
	Publish   []string `sep:"none" placeholder:"FILTER" help:"Topic filter that the token may publish to. Repeatable; without it, none."`
	Expires   string   `placeholder:"WHEN" help:"End of the token: after a duration such as 24h, or at a time such as 2030-01-31T00:00:00Z. Default: 1h for a JWT, else never."`

	KID      string `name:"kid" placeholder:"ID" help:"Id of the key (kid), for the header of a JWT."`
	Issuer   string `help:"Issuer (iss) of a JWT."`
	Audience string `help:"Audience (aud) of a JWT."`
	ID       string `name:"id" placeholder:"JTI" help:"Id (jti) of a JWT, by which it can be revoked. Default: a random UUID."`

	Name string `arg:"" help:"Who the token is for: the entry's name, or the subject (sub) of a JWT."`

	subscribe, publish []hub.Filter // by check
	expires            time.Time    // by check; zero: never
}

// Help is what the flags leave open.
func (TokenCmd) Help() string {
	return "Give one of --tokens, --jwt-secret-file and --jwt-private-key-file. The token is printed this once, alone " +
		"on standard output; the file keeps its SHA-256 hash only."
}

func (c *TokenCmd) check() []fault {
	destinations := 0
	for _, file := range []string{c.Tokens, c.JWTSecretFile, c.JWTPrivateKeyFile} {
		if file != "" {
			destinations++
		}
	}
	var faults []fault
	if destinations != 1 {
		detail := fmt.Sprintf("want one of --tokens, --jwt-secret-file and --jwt-private-key-file, got %d", destinations)
		faults = append(faults, fault{"--tokens", detail})
	}
	if c.Name == "" {
		faults = append(faults, fault{"<name>", "want a name, got none"})
	}
	faults = append(faults, parseFilters(&c.subscribe, "subscribe", c.Subscribe)...)
	faults = append(faults, parseFilters(&c.publish, "publish", c.Publish)...)
	faults = append(faults, faulty("expires", c.parseExpires(time.Now()))...)
	if c.Tokens != "" {
		for _, f := range []struct{ flag, value string }{
			{"kid", c.KID}, {"issuer", c.Issuer}, {"audience", c.Audience}, {"id", c.ID},
		} {
			if f.value != "" {
				faults = append(faults, fault{"--" + f.flag, "is of a JWT; --tokens makes none"})
			}
		}
	}
	return faults
}

func parseFilters(target *[]hub.Filter, flag string, texts []string) []fault {
	var faults []fault
	for _, text := range texts {
		filter, err := hub.ParseFilter(text)
		var invalid *hub.InvalidError
		if errors.As(err, &invalid) {
			faults = append(faults, fault{"--" + flag, fmt.Sprintf("%s, got %q", invalid.Detail, text)})
			continue
		}
		*target = append(*target, filter)
	}
	return faults
}

// parseExpires finds the end of the token, and says what is wrong with it.
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
		return fmt.Sprintf("want a time to come, a second from now at least, got %q", c.Expires)
	}
	return ""
}

// Run makes the token and prints it.
func (c *TokenCmd) Run(con *console) error {
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
	text, err := readBounded(path, maxTokenFile)
	if err != nil {
		return nil, err
	}
	key, err := parse(text)
	if err != nil {
		return nil, inFile(path, err)
	}
	return key, nil
}

// inFile names the file in each line of what is wrong with it.
func inFile(path string, err error) error {
	lines := strings.Split(err.Error(), "\n")
	for i, line := range lines {
		lines[i] = path + ": " + line
	}
	return errors.New(strings.Join(lines, "\n"))
}
