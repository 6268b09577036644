package connection

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"crypto/tls"
	"encoding/binary"
	"encoding/hex"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/crypto/chacha20poly1305"
)

// recordWriter encrypts the records of a TLS 1.3 client (RFC 8446), so that tests can send messages
// that tls.Conn never sends.
type recordWriter struct {
	t        *testing.T
	suite    uint16
	secret   []byte
	aead     cipher.AEAD
	iv       []byte
	sequence uint64
}

// newRecordWriter returns the recordWriter of a client that has sent no data after its handshake.
// keyLog contains the data that the client has written to tls.Config.KeyLogWriter.
func newRecordWriter(t *testing.T, client *tls.Conn, keyLog *bytes.Buffer) *recordWriter {
	w := &recordWriter{t: t, suite: client.ConnectionState().CipherSuite}
	for line := range strings.Lines(keyLog.String()) {
		if fields := strings.Fields(line); fields[0] == "CLIENT_TRAFFIC_SECRET_0" {
			secret, err := hex.DecodeString(fields[2])
			require.NoError(t, err)
			w.useSecret(secret)
		}
	}
	require.NotNil(t, w.aead)
	return w
}

// useSecret derives the keys from a secret (RFC 8446 section 7.3).
func (w *recordWriter) useSecret(secret []byte) {
	w.secret, w.iv, w.sequence = secret, w.expand(secret, "iv", 12), 0
	var err error
	switch w.suite {
	case tls.TLS_AES_128_GCM_SHA256:
		var block cipher.Block
		block, err = aes.NewCipher(w.expand(secret, "key", 16))
		require.NoError(w.t, err)
		w.aead, err = cipher.NewGCM(block)
	case tls.TLS_CHACHA20_POLY1305_SHA256:
		w.aead, err = chacha20poly1305.New(w.expand(secret, "key", 32))
	default:
		require.FailNow(w.t, "unknown cipher suite", tls.CipherSuiteName(w.suite))
	}
	require.NoError(w.t, err)
}

// expand is HKDF-Expand-Label without a context (RFC 8446 section 7.1).
func (w *recordWriter) expand(secret []byte, label string, size int) []byte {
	label = "tls13 " + label
	info := append([]byte{0, byte(size), byte(len(label))}, label...)
	key, err := hkdf.Expand(sha256.New, secret, string(append(info, 0)), size)
	require.NoError(w.t, err)
	return key
}

// Record types.
const (
	handshakeRecord       = 22
	applicationDataRecord = 23
)

// record returns an encrypted record.
func (w *recordWriter) record(kind byte, data []byte) []byte {
	plain := append(bytes.Clone(data), kind)
	header := binary.BigEndian.AppendUint16([]byte{applicationDataRecord, 3, 3}, uint16(len(plain)+w.aead.Overhead()))
	nonce := bytes.Clone(w.iv)
	binary.BigEndian.PutUint64(nonce[4:], binary.BigEndian.Uint64(nonce[4:])^w.sequence)
	w.sequence++
	return append(header, w.aead.Seal(nil, nonce, plain, header)...)
}

// data returns an encrypted record of application data.
func (w *recordWriter) data(text string) []byte { return w.record(applicationDataRecord, []byte(text)) }

// keyUpdate returns a KeyUpdate message in two records, and changes the client's key. The message asks
// the server to change its key too (RFC 8446, section 4.6.3).
func (w *recordWriter) keyUpdate() []byte {
	const keyUpdate, updateRequested = 24, 1
	b := w.record(handshakeRecord, []byte{keyUpdate, 0})
	b = append(b, w.record(handshakeRecord, []byte{0, 1, updateRequested})...)
	w.useSecret(w.expand(w.secret, "traffic upd", sha256.Size))
	return b
}
