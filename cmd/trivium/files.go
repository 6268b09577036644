package main

import (
	"bytes"
	"fmt"
	"io"
	"os"
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

// readBounded reads a file, and of one that is longer than limit one byte more than that.
func readBounded(path string, limit int64) ([]byte, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = file.Close() }() // only read
	return io.ReadAll(io.LimitReader(file, limit+1))
}
