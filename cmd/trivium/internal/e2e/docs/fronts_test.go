//go:build unix

package docs

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/trivium-hub/trivium/cmd/trivium/internal/hubtest"
	"github.com/trivium-hub/trivium/hub/testkit"
)

// recipes is the directory of the proxy configurations that docs/proxies.md shows.
const recipes = repository + "/testdata/proxies"

// front is the server that clients connect to: the hub itself, or a proxy that is configured by one of
// the recipes.
type front struct {
	name    string
	program string // executable of the proxy; "": no proxy
	tls     bool   // clients connect to the front with TLS
	hubTLS  bool   // the hub serves TLS
	// configure writes the configuration of the proxy to dir and returns the arguments of the executable. The parameter
	// recipe is the content of the recipe.
	configure func(t *testing.T, dir, recipe, listen string) []string
	recipe    string // name of a file in the directory recipes
}

var fronts = []front{
	{name: "direct"},
	{name: "HTTP/2", tls: true, hubTLS: true},
	{name: "nginx", program: "nginx", recipe: "nginx.conf", configure: configureNginx},
	{name: "HAProxy", program: "haproxy", recipe: "haproxy.cfg", tls: true, configure: configureHAProxy},
	{name: "Caddy", program: "caddy", recipe: "Caddyfile", tls: true, configure: configureCaddy},
	{name: "Apache", program: "apache2", recipe: "apache.conf", configure: configureApache},
}

// start runs the proxy until the test ends, and returns the address of the proxy.
func (f front) start(t *testing.T, upstream string) string {
	t.Helper()
	if f.program == "" {
		return upstream
	}
	path := hubtest.NeedTool(t, f.program, "a Debian package of that name")
	text, err := os.ReadFile(filepath.Join(recipes, f.recipe))
	require.NoError(t, err)
	require.Contains(t, string(text), "127.0.0.1:3000")
	recipe := strings.ReplaceAll(string(text), "127.0.0.1:3000", upstream)
	listen := fmt.Sprintf("127.0.0.1:%d", testkit.FreePorts(t, 1)[0])
	dir := t.TempDir()
	cmd := exec.Command(path, f.configure(t, dir, recipe, listen)...)
	cmd.Env = []string{"HOME=" + dir, "XDG_DATA_HOME=" + dir, "XDG_CONFIG_HOME=" + dir, "PATH=" + os.Getenv("PATH")}
	var log strings.Builder
	cmd.Stdout, cmd.Stderr = &log, &log
	require.NoError(t, cmd.Start())
	t.Cleanup(func() {
		_ = cmd.Process.Signal(os.Interrupt)
		ended := time.AfterFunc(5*time.Second, func() { _ = cmd.Process.Kill() })
		_ = cmd.Wait()
		ended.Stop()
		if t.Failed() {
			t.Logf("%s:\n%.4000s", f.name, log.String())
		}
	})
	require.Eventually(t, func() bool {
		conn, err := net.Dial("tcp", listen)
		if err == nil {
			conn.Close()
		}
		return err == nil
	}, hubtest.Patience, 20*time.Millisecond)
	return listen
}

func writeText(t *testing.T, dir, name, text string) string {
	t.Helper()
	path := filepath.Join(dir, name)
	require.NoError(t, os.WriteFile(path, []byte(text), 0o644))
	return path
}

func configureNginx(t *testing.T, dir, recipe, listen string) []string {
	inHTTP, inServer, found := strings.Cut(recipe, "# in server { }")
	require.True(t, found)
	_, inServer, _ = strings.Cut(inServer, "\n")
	user := ""
	if os.Getuid() == 0 {
		user = "user root;\n"
	}
	temporary := ""
	for _, kind := range []string{"client_body", "proxy", "fastcgi", "uwsgi", "scgi"} {
		temporary += fmt.Sprintf("  %s_temp_path %s;\n", kind, filepath.Join(dir, kind))
	}
	path := writeText(t, dir, "nginx.conf", user+"daemon off;\nworker_processes 1;\npid "+filepath.Join(dir, "pid")+";\n"+
		"error_log stderr warn;\nevents { worker_connections 1024; }\nhttp {\n  access_log off;\n"+temporary+inHTTP+
		"\n  server {\n    listen "+listen+";\n"+inServer+"  }\n}\n")
	return []string{"-e", "stderr", "-p", dir, "-c", path}
}

func configureHAProxy(t *testing.T, dir, recipe, listen string) []string {
	certificate, key := certificateFiles(t)
	c, err := os.ReadFile(certificate)
	require.NoError(t, err)
	k, err := os.ReadFile(key)
	require.NoError(t, err)
	both := writeText(t, dir, "both.pem", string(c)+string(k))
	recipe = strings.Replace(recipe, "bind :443 ssl crt /etc/haproxy/cert.pem", "bind "+listen+" ssl crt "+both, 1)
	require.Contains(t, recipe, listen)
	return []string{"-db", "-f", writeText(t, dir, "haproxy.cfg", recipe)}
}

func configureCaddy(t *testing.T, dir, recipe, listen string) []string {
	certificate, key := certificateFiles(t)
	recipe = strings.Replace(recipe, "hub.example.com {", "https://"+listen+" {\n  tls "+certificate+" "+key, 1)
	require.Contains(t, recipe, listen)
	path := writeText(t, dir, "Caddyfile", "{\n  admin off\n  auto_https off\n}\n"+recipe)
	return []string{"run", "--adapter", "caddyfile", "--config", path}
}

func configureApache(t *testing.T, dir, recipe, listen string) []string {
	modules := ""
	for _, name := range []string{"mpm_event", "authz_core", "proxy", "proxy_http", "proxy_wstunnel", "headers"} {
		modules += fmt.Sprintf("LoadModule %s_module /usr/lib/apache2/modules/mod_%s.so\n", name, name)
	}
	path := writeText(t, dir, "apache.conf", "ServerRoot "+dir+"\nDefaultRuntimeDir "+dir+"\nPidFile "+dir+"/pid\nListen "+listen+
		"\nServerName 127.0.0.1\nErrorLog /dev/stderr\n"+modules+"User www-data\nGroup www-data\n"+recipe)
	return []string{"-DFOREGROUND", "-f", path}
}

var loopbackCertificate struct {
	once             sync.Once
	certificate, key string // file names
}

// certificateFiles returns the paths of a self-signed certificate for the loopback address and of
// its key.
func certificateFiles(t *testing.T) (certificate, key string) {
	t.Helper()
	l := &loopbackCertificate
	l.once.Do(func() {
		private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		require.NoError(t, err)
		template := &x509.Certificate{
			SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: "127.0.0.1"},
			NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
			IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, DNSNames: []string{"localhost"},
			KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign, IsCA: true, BasicConstraintsValid: true,
			ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		}
		der, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
		require.NoError(t, err)
		pkcs8, err := x509.MarshalPKCS8PrivateKey(private)
		require.NoError(t, err)
		l.certificate = writeText(t, hubtest.SharedDir, "cert.pem", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})))
		l.key = writeText(t, hubtest.SharedDir, "key.pem", string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8})))
	})
	return l.certificate, l.key
}
