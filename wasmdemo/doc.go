// Package wasmdemo serves the page at /demo/ and the WebAssembly program that runs in it
// (wasmdemo/app), with the wasm_exec.js of the toolchain that built the program.
//
// Where the program comes from: a release carries it (built with -tags embeddemo after go generate
// ./wasmdemo); under go run it is built in the background from the checkout that the hub itself was
// built from; else there is none, and the page says how to get it. A hub that was installed never
// builds: it has no way to know whose code lies where it happens to run.
//
// [Demo.Run] owns the build's process group and one goroutine of os/exec beside it; it returns when
// they have ended. The handler starts nothing.
//
// The pages are static and need no token. The package knows nothing of the hub: what a refusal looks
// like is given to it.
package wasmdemo

//go:generate go run ./internal/generate
