// Command generate creates wasmdemo/dist, which a build with -tags embeddemo embeds: the compressed
// WebAssembly binary of the demo page and the wasm_exec.js of the toolchain that built it. go
// generate runs it in wasmdemo. The same toolchain always produces the same output.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"

	"github.com/trivium-hub/trivium/wasmdemo/internal/build"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := generate(ctx)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "generate:", err)
		os.Exit(1)
	}
}

func generate(ctx context.Context) error {
	root, err := filepath.Abs("..")
	if err != nil {
		return err
	}
	result, err := build.Run(ctx, root)
	if err != nil {
		return err
	}
	if err := os.MkdirAll("dist", 0o755); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join("dist", "app.wasm.gz"), result.Binary, 0o644); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join("dist", "wasm_exec.js"), result.Loader, 0o644); err != nil {
		return err
	}
	fmt.Printf("dist/app.wasm.gz: %d bytes of at most %d\n", len(result.Binary), build.MaxBinary)
	return nil
}
