package main

// TLSConfig says how the main listener is encrypted.
type TLSConfig struct {
	TLSCert       string   `name:"tls-cert" placeholder:"FILE" help:"Serve TLS with the certificate chain in this PEM file, its own first. Reread when it changes."`
	TLSKey        string   `name:"tls-key" placeholder:"FILE" help:"PEM file with the key of --tls-cert."`
	ACME          []string `name:"acme" placeholder:"HOST" help:"Serve TLS with certificates for this host name, had by ACME; the CA connects to port 443 of it. Repeatable."`
	ACMECache     string   `name:"acme-cache" placeholder:"DIR" help:"Directory in which certificates had by ACME are kept. Default: trivium/acme in the user's cache directory."`
	ACMEEmail     string   `name:"acme-email" placeholder:"ADDRESS" help:"Address that the CA may write to."`
	ACMEDirectory string   `name:"acme-directory" placeholder:"URL" help:"Directory of the CA. Default: Let's Encrypt."`
	H2C           bool     `name:"h2c" help:"Take HTTP/2 without TLS, from a proxy that speaks it."`
}

func (c *ServeConfig) checkTLS() []fault { return nil }
