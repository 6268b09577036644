// Package wasmdemo serves the demo page at /demo/, its WebAssembly binary (wasmdemo/app), and the
// wasm_exec.js of the toolchain that built the binary.
//
//	demo := wasmdemo.New(wasmdemo.Config{Checkout: wasmdemo.FindCheckout()})
//	mux.Handle("/demo/", demo)
//	go demo.Run(ctx)
//
// A release contains the WebAssembly binary (built with -tags embeddemo after go generate
// ./wasmdemo). Under go run, the hub builds it in the background from its own checkout. Otherwise
// there is no binary, and the page explains how to get it. An installed hub builds nothing, because
// its working directory may contain other code.
//
// [Demo.Run] owns the build's process group and one goroutine of os/exec, and returns after both
// have ended. The handler starts nothing.
//
// The pages are static and need no token. The package does not depend on the hub; the caller
// supplies the error answers.
package wasmdemo

//go:generate go run ./internal/generate
