// Package wasmdemo serves the demo page at /demo/ and the WebAssembly program that runs in it (wasmdemo/app),
// with the wasm_exec.js of the toolchain that built the program.
//
//	demo := wasmdemo.New(wasmdemo.Config{Checkout: wasmdemo.FindCheckout()})
//	mux.Handle("/demo/", demo)
//	go demo.Run(ctx)
//
// A release contains the program (built with -tags embeddemo after go generate ./wasmdemo). Under go run, the
// program is built in the background from the checkout of the hub itself. Otherwise there is no program, and the
// page explains how to get it. An installed hub never builds: the directory it runs in may contain somebody
// else's code.
//
// [Demo.Run] owns the build's process group and one goroutine of os/exec, and returns after both have ended. The
// handler starts nothing.
//
// The pages are static and need no token. The package does not depend on the hub; the caller supplies the error
// answers.
package wasmdemo

//go:generate go run ./internal/generate
