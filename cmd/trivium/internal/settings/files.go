package settings

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"

	"github.com/trivium-hub/trivium/auth"
)

// MaxSecretBytes is the maximum size of a file with a secret.
const MaxSecretBytes = 1 << 20

// ReadSecret returns the content of a file without the ASCII white space at its end, because editors and echo append a
// line break. It returns an error if the file cannot be read, is longer than MaxSecretBytes or contains only white space.
// The error contains the path of the file and no part of the secret. The caller adds the name of the flag.
func ReadSecret(path string) ([]byte, error) {
	secret, err := ReadBounded(path, MaxSecretBytes)
	if err != nil {
		return nil, err
	}
	if len(secret) > MaxSecretBytes {
		return nil, fmt.Errorf("want a secret of at most %v, %s is longer", Size(MaxSecretBytes), path)
	}
	secret = bytes.TrimRight(secret, " \t\n\v\f\r")
	if len(secret) == 0 {
		return nil, fmt.Errorf("want a secret, %s contains none", path)
	}
	return secret, nil
}

// minUDPSecretBytes is the minimum length of the secret for signing datagrams, in bytes. An attacker who has recorded a
// datagram could find a shorter secret by trying all possible ones.
const minUDPSecretBytes = 16

// ReadUDPSecret is like ReadSecret, but also returns an error if the secret is too short to sign datagrams.
func ReadUDPSecret(path string) ([]byte, error) {
	secret, err := ReadSecret(path)
	if err == nil && len(secret) < minUDPSecretBytes {
		return nil, fmt.Errorf("want a secret of at least %d bytes, %s has %d", minUDPSecretBytes, path, len(secret))
	}
	return secret, err
}

// checkDir returns the reason why a path cannot be used as a directory, or "" if it is a directory
// or does not exist yet.
func checkDir(path string) string {
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return checkMakeable(path)
	case err != nil:
		return err.Error()
	case !info.IsDir():
		return fmt.Sprintf("want a directory, %s is not one", path)
	}
	return ""
}

// checkMakeable returns the reason why a directory cannot be created, or "" if it can be. It tries to
// create a temporary directory in the nearest parent directory that exists, and removes it again.
func checkMakeable(path string) string {
	parent := filepath.Dir(path)
	for {
		if _, err := os.Stat(parent); !errors.Is(err, fs.ErrNotExist) || parent == filepath.Dir(parent) {
			break
		}
		parent = filepath.Dir(parent)
	}
	made, err := os.MkdirTemp(parent, ".trivium-check-")
	if err == nil {
		err = os.Remove(made)
	}
	if err != nil {
		return fmt.Sprintf("cannot create %s: no directory can be created in %s", path, parent)
	}
	return ""
}

// readableByAll reports whether every user of the machine may read a file. On Windows it returns false, because it cannot
// check the access rights there.
func readableByAll(path string) bool {
	info, err := os.Stat(path)
	return err == nil && runtime.GOOS != "windows" && info.Mode().Perm()&0o004 != 0
}

// ReadBounded reads a file, but no more than limit+1 bytes, so that the caller can detect a file that is too long.
func ReadBounded(path string, limit int64) ([]byte, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = file.Close() }() // an error does not matter, because nothing was written
	return io.ReadAll(io.LimitReader(file, limit+1))
}

// minAdminToken is the minimum length of the admin listener's token in bytes.
const minAdminToken = 16

// ParseAdminToken returns the admin token in the content of a file, without the white space at its end. An error contains
// no part of the token.
func ParseAdminToken(content []byte) (string, error) {
	token := string(bytes.TrimRight(content, " \t\n\v\f\r"))
	if len(token) < minAdminToken {
		return "", fmt.Errorf("want a token of at least %d characters, got %d; openssl rand -hex 16 creates one", minAdminToken, len(token))
	}
	if auth.CheckToken(token) != nil {
		return "", errors.New("want a token of letters, digits and -._~ only")
	}
	return token, nil
}
