package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
)

const maxSecretBytes = 1 << 20

// readSecret gives what a file holds, byte for byte, less the ASCII white space at its end, which
// editors and echo leave there. The error names the file and nothing that is in it: it cannot be
// read, is longer than maxSecretBytes or holds no secret. Which flag it was is for the caller to
// say.
func readSecret(path string) ([]byte, error) {
	secret, err := readBounded(path, maxSecretBytes)
	if err != nil {
		return nil, err
	}
	if len(secret) > maxSecretBytes {
		return nil, fmt.Errorf("want a secret of at most %v, %s holds more", Size(maxSecretBytes), path)
	}
	secret = bytes.TrimRight(secret, " \t\n\v\f\r")
	if len(secret) == 0 {
		return nil, fmt.Errorf("want a secret, %s holds none", path)
	}
	return secret, nil
}

// minUDPSecretBytes is the shortest secret that signs datagrams: a shorter one can be guessed from a
// datagram.
const minUDPSecretBytes = 16

// readUDPSecret is readSecret for the secret of signed datagrams.
func readUDPSecret(path string) ([]byte, error) {
	secret, err := readSecret(path)
	if err == nil && len(secret) < minUDPSecretBytes {
		return nil, fmt.Errorf("want a secret of at least %d bytes, %s holds %d", minUDPSecretBytes, path, len(secret))
	}
	return secret, err
}

// checkDir returns what is wrong with the path of a directory that exists or is to be made.
func checkDir(path string) string {
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return checkMakeable(path)
	case err != nil:
		return err.Error()
	case !info.IsDir():
		return fmt.Sprintf("want a directory, %s is none", path)
	}
	return ""
}

// checkMakeable returns why a directory cannot be made: it makes another one in the nearest directory that
// exists, and removes it.
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
		return fmt.Sprintf("cannot make %s: nothing can be made in %s", path, parent)
	}
	return ""
}

// readableByAll reports whether every user of the machine may read a file. Windows has other rights,
// which are not looked at.
func readableByAll(path string) bool {
	info, err := os.Stat(path)
	return err == nil && runtime.GOOS != "windows" && info.Mode().Perm()&0o004 != 0
}

// readBounded reads a file, and of one that is longer than limit one byte more than that.
func readBounded(path string, limit int64) ([]byte, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = file.Close() }() // only read
	return io.ReadAll(io.LimitReader(file, limit+1))
}
