// Package build compiles the WebAssembly binary of the demo page with the Go toolchain, for the
// hub's background build and for go generate. It owns the toolchain's process group, which has
// ended when Run returns.
package build

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// MaxBinary is the maximum size of the compressed binary in bytes. It is low because phones also
// load the binary.
const MaxBinary = 1_200_000

// Result is a compiled binary and its loader.
type Result struct {
	Binary []byte // WebAssembly compressed by gzip
	Loader []byte // wasm_exec.js of the toolchain that built the binary
}

// patience is the time for which the toolchain may continue after an interrupt before it is killed.
const patience = 300 * time.Millisecond

// maxOutput is the maximum number of bytes of the toolchain's output in an error.
const maxOutput = 16 << 10

// Run builds ./wasmdemo/app of the module at root with the go command in PATH. It writes nothing into the
// module. If the build fails, the error contains the toolchain's output.
func Run(ctx context.Context, root string) (Result, error) {
	dir, err := os.MkdirTemp("", "trivium-demo-")
	if err != nil {
		return Result{}, err
	}
	defer func() { _ = os.RemoveAll(dir) }() // if this fails, the system removes the directory later
	output := filepath.Join(dir, "app.wasm")
	// These flags make the build reproducible.
	if _, err := goTool(ctx, root, "build", "-trimpath", "-buildvcs=false", "-ldflags=-s -w -buildid=", "-o", output, "./wasmdemo/app"); err != nil {
		return Result{}, err
	}
	wasm, err := os.ReadFile(output)
	if err != nil {
		return Result{}, err
	}
	binary, err := Compress(wasm)
	if err != nil {
		return Result{}, err
	}
	if len(binary) > MaxBinary {
		return Result{}, fmt.Errorf("the WebAssembly binary of the page has %d bytes after gzip, but must have at most %d", len(binary), MaxBinary)
	}
	goroot, err := goTool(ctx, root, "env", "GOROOT")
	if err != nil {
		return Result{}, err
	}
	loader, err := os.ReadFile(filepath.Join(strings.TrimSpace(goroot), "lib", "wasm", "wasm_exec.js"))
	return Result{Binary: binary, Loader: loader}, err
}

// goTool runs the go command for js/wasm and returns its output.
func goTool(ctx context.Context, root string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Dir = root
	cmd.Env = append(cmd.Environ(), "GOOS=js", "GOARCH=wasm")
	var stdout bytes.Buffer
	stderr := &head{room: maxOutput}
	cmd.Stdout, cmd.Stderr = &stdout, stderr
	cmd.WaitDelay = patience
	ownGroup(cmd)
	err := cmd.Start()
	if err == nil {
		lowerPriority(cmd.Process.Pid)
		err = cmd.Wait()
	}
	switch {
	case err == nil:
		return stdout.String(), nil
	case ctx.Err() != nil:
		if cmd.Process != nil {
			killGroup(cmd.Process.Pid) // kill the processes that ignored the interrupt
		}
		return "", ctx.Err()
	case errors.Is(err, exec.ErrNotFound):
		return "", errors.New("the go command is not in PATH")
	}
	return "", fmt.Errorf("go %s: %w\n%s", args[0], err, bytes.TrimSpace(stderr.kept))
}

// head is a writer that keeps the first bytes written to it.
type head struct {
	kept []byte
	room int
}

func (h *head) Write(p []byte) (int, error) {
	n := min(len(p), h.room)
	h.kept, h.room = append(h.kept, p[:n]...), h.room-n
	return len(p), nil
}

// Compress returns content compressed by gzip with the best compression. Equal contents yield equal
// results.
func Compress(content []byte) ([]byte, error) {
	var b bytes.Buffer
	w, err := gzip.NewWriterLevel(&b, gzip.BestCompression)
	if err != nil {
		return nil, err
	}
	if _, err := w.Write(content); err != nil {
		return nil, err
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}
