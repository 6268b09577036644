package settings

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestReadSecret(t *testing.T) {
	dir := t.TempDir()
	for _, tt := range []struct {
		name, content string
		secret        string
		Fault         string
	}{
		{"plain", "secret", "secret", ""},
		{"line", "secret\r\n", "secret", ""},
		{"spaced", "\n \x00a\u00a0b\u00a0 \t\v\f\n\n", "\n \x00a\u00a0b\u00a0", ""},
		{"longest", strings.Repeat("s", MaxSecretBytes), strings.Repeat("s", MaxSecretBytes), ""},
		{"longer", strings.Repeat("s", MaxSecretBytes) + "\n", "", "want a secret of at most 1MiB, PATH is longer"},
		{"empty", "", "", "want a secret, PATH contains none"},
		{"blank", " \n", "", "want a secret, PATH contains none"},
	} {
		path := filepath.Join(dir, tt.name)
		require.NoError(t, os.WriteFile(path, []byte(tt.content), 0o600))
		secret, err := ReadSecret(path)
		require.Equal(t, tt.secret, string(secret), tt.name)
		if tt.Fault == "" {
			require.NoError(t, err)
			continue
		}
		require.EqualError(t, err, strings.ReplaceAll(tt.Fault, "PATH", path))
	}
	for _, path := range []string{dir, filepath.Join(dir, "none")} {
		_, err := ReadSecret(path)
		require.ErrorContains(t, err, path)
	}
}
