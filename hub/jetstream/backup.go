package jetstream

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// A backup is one line of JSON (backupHeader), followed by JetStream's snapshot in pieces. Each piece is
// preceded by its length as four bytes, big endian. A length of zero marks the end of the snapshot. It is
// followed by the SHA-256 of all preceding bytes, which shows whether the backup is truncated or damaged.

const (
	backupFormat   = "trivium-backup"
	backupVersion  = 1
	backupPiece    = 256 << 10        // bytes
	backupPatience = 30 * time.Second // the longest wait for the next piece
	maxBackupLine  = 1 << 20
)

// backupHeader describes the stream of a backup.
type backupHeader struct {
	Format  string                  `json:"format"`
	Version int                     `json:"version"`
	Made    time.Time               `json:"made"`
	Config  *jetstream.StreamConfig `json:"config"`
	State   json.RawMessage         `json:"state"`
}

// ErrNotEmbedded is returned by Backup if the stream is on NATS servers outside this process, which
// can be backed up with the tools of NATS.
var ErrNotEmbedded = errors.New("only the log of an embedded engine can be backed up by the hub")

// Embedded reports whether the stream is on a NATS server in this process.
func (e *Engine) Embedded() bool { return e.server != nil }

// Backup writes a consistent snapshot of the log to w. The hub can publish and read while Backup
// runs.
func (e *Engine) Backup(ctx context.Context, w io.Writer) error {
	if e.server == nil {
		return ErrNotEmbedded
	}
	inbox := e.conn.NewInbox()
	pieces, err := e.conn.SubscribeSync(inbox)
	if err != nil {
		return unavailable(err)
	}
	defer func() { _ = pieces.Unsubscribe() }()
	header := backupHeader{Format: backupFormat, Version: backupVersion, Made: time.Now().UTC()}
	var answer struct {
		Error  *jetstream.APIError     `json:"error"`
		Config *jetstream.StreamConfig `json:"config"`
		State  json.RawMessage         `json:"state"`
	}
	body := fmt.Appendf(nil, `{"deliver_subject":%q,"no_consumers":true,"chunk_size":%d}`, inbox, backupPiece)
	if err := e.request(ctx, "$JS.API.STREAM.SNAPSHOT."+e.cfg.Stream, body, &answer); err != nil {
		return err
	}
	if answer.Error != nil {
		return fmt.Errorf("snapshot: %w", answer.Error)
	}
	header.Config, header.State = answer.Config, answer.State
	line, err := json.Marshal(header)
	if err != nil {
		return err
	}
	sum := sha256.New()
	out := io.MultiWriter(w, sum)
	if _, err := out.Write(append(line, '\n')); err != nil {
		return err
	}
	return copyPieces(ctx, out, w, sum, pieces)
}

// copyPieces writes the pieces of the snapshot, then a length of zero and the SHA-256.
func copyPieces(ctx context.Context, out, w io.Writer, sum hash.Hash, pieces *nats.Subscription) error {
	for {
		waiting, cancel := context.WithTimeout(ctx, backupPatience)
		m, err := pieces.NextMsgWithContext(waiting)
		cancel()
		if err != nil {
			return fmt.Errorf("snapshot: %w", err)
		}
		if len(m.Data) == 0 {
			if status := m.Header.Get("Status"); status != "" && status != "204" {
				return fmt.Errorf("snapshot: %s %s", status, m.Header.Get("Description"))
			}
			break
		}
		if _, err := out.Write(binary.BigEndian.AppendUint32(nil, uint32(len(m.Data)))); err != nil {
			return err
		}
		if _, err := out.Write(m.Data); err != nil {
			return err
		}
		if m.Reply != "" {
			if err := m.Respond(nil); err != nil { // requests the next piece
				return err
			}
		}
	}
	if _, err := out.Write(make([]byte, 4)); err != nil {
		return err
	}
	_, err := w.Write(sum.Sum(nil))
	return err
}

// request sends a request to JetStream and decodes the answer.
func (e *Engine) request(ctx context.Context, subject string, body []byte, answer any) error {
	ctx, cancel := context.WithTimeout(ctx, backupPatience)
	defer cancel()
	m, err := e.conn.RequestWithContext(ctx, subject, body)
	if err != nil {
		return unavailable(err)
	}
	return json.Unmarshal(m.Data, answer)
}

// Restore creates a store from a backup. The directory must be empty or must not exist. The log
// gets a new epoch, because IDs of events that were published after the backup will be assigned
// again.
func Restore(ctx context.Context, dir string, r io.Reader) (err error) {
	in := bufio.NewReaderSize(r, maxBackupLine)
	sum := sha256.New()
	header, err := readBackupHeader(in, sum)
	if err != nil {
		return err
	}
	if entries, err := os.ReadDir(dir); err == nil && len(entries) > 0 {
		return fmt.Errorf("the store %s is not empty", dir)
	}
	e, err := New(Config{Store: dir, Stream: header.Config.Name})
	if err != nil {
		return err
	}
	if e.server, err = openEmbedded(&e.cfg, e.timeouts.start); err != nil {
		return err
	}
	whole := false
	defer func() {
		e.close()
		err = errors.Join(err, e.release(whole))
		if !whole { // a partial log must not be used
			err = errors.Join(err, os.RemoveAll(filepath.Join(dir, "jetstream")), os.Remove(filepath.Join(dir, stateName)), os.Remove(filepath.Join(dir, lockName)))
		}
	}()
	if err := e.connect(); err != nil {
		return err
	}
	if err := e.restoreStream(ctx, header, in, sum); err != nil {
		return err
	}
	whole = true
	return nil
}

func readBackupHeader(in *bufio.Reader, sum hash.Hash) (*backupHeader, error) {
	line, err := in.ReadSlice('\n')
	if err != nil {
		return nil, errors.New("not a backup: the first line is too long or incomplete")
	}
	sum.Write(line)
	var header backupHeader
	if err := json.Unmarshal(line, &header); err != nil || header.Format != backupFormat || header.Config == nil {
		return nil, fmt.Errorf("not a backup: the first line is not JSON with format %q", backupFormat)
	}
	if header.Version != backupVersion {
		return nil, fmt.Errorf("the backup has version %d, but this program supports only version %d", header.Version, backupVersion)
	}
	if _, err := epochOf(header.Config); err != nil {
		return nil, err
	}
	return &header, nil
}

// restoreStream sends the snapshot to JetStream and then sets a new epoch in the stream.
func (e *Engine) restoreStream(ctx context.Context, header *backupHeader, in *bufio.Reader, sum hash.Hash) error {
	epoch := newEpoch().String()
	header.Config.Metadata[metaEpoch] = epoch
	body, err := json.Marshal(map[string]any{"config": header.Config, "state": header.State})
	if err != nil {
		return err
	}
	var answer struct {
		Error   *jetstream.APIError `json:"error"`
		Deliver string              `json:"deliver_subject"`
	}
	if err := e.request(ctx, "$JS.API.STREAM.RESTORE."+e.cfg.Stream, body, &answer); err != nil {
		return err
	}
	if answer.Error != nil {
		return fmt.Errorf("restore: %w", answer.Error)
	}
	for {
		piece, err := readPiece(in, sum)
		if err != nil {
			return err
		}
		asking, cancel := context.WithTimeout(ctx, backupPatience)
		m, err := e.conn.RequestWithContext(asking, answer.Deliver, piece)
		cancel()
		if err != nil {
			return fmt.Errorf("restore: %w", err)
		}
		if len(m.Data) > 0 {
			if err := json.Unmarshal(m.Data, &answer); err == nil && answer.Error != nil {
				return fmt.Errorf("restore: %w", answer.Error)
			}
		}
		if len(piece) == 0 {
			break
		}
	}
	info, err := e.lookUp(ctx)
	if err != nil {
		return err
	}
	info.Config.Metadata[metaEpoch] = epoch // the snapshot contains the old configuration
	if _, err := e.js.UpdateStream(ctx, info.Config); err != nil {
		return err
	}
	if info, err = e.lookUp(ctx); err != nil {
		return err
	}
	return e.server.begin(info)
}

// readPiece returns the next piece of the snapshot. At the end it checks the SHA-256 and returns nil.
func readPiece(in io.Reader, sum hash.Hash) ([]byte, error) {
	var length [4]byte
	if _, err := io.ReadFull(in, length[:]); err != nil {
		return nil, errors.New("the backup is truncated")
	}
	sum.Write(length[:])
	n := binary.BigEndian.Uint32(length[:])
	if n == 0 {
		want := make([]byte, sha256.Size)
		if _, err := io.ReadFull(in, want); err != nil {
			return nil, errors.New("the backup is truncated")
		}
		if string(want) != string(sum.Sum(nil)) {
			return nil, errors.New("the backup is damaged: its SHA-256 differs")
		}
		return nil, nil
	}
	if n > backupPiece {
		return nil, errors.New("the backup is damaged: a piece is too large")
	}
	piece := make([]byte, n)
	if _, err := io.ReadFull(in, piece); err != nil {
		return nil, errors.New("the backup is truncated")
	}
	sum.Write(piece)
	return piece, nil
}
