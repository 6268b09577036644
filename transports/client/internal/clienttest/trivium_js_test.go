package clienttest

import (
	"context"
	"errors"
	"iter"
	"math"
	"os"
	"sync"
	"syscall/js"
	"time"

	hubapi "github.com/trivium-hub/trivium/hub"
	"github.com/trivium-hub/trivium/transports/client"
)

// connectClient connects the client under test: the Go client, or trivium.js if the harness has
// loaded it.
func connectClient(cfg client.Config) (testedClient, error) {
	if os.Getenv(envTriviumJS) == "" {
		return client.Connect(context.Background(), cfg)
	}
	return connectTrivium(cfg), nil
}

// trivium is a subscription of trivium.js.
type trivium struct {
	subscription js.Value
	token        js.Func

	mu     sync.Mutex
	stats  client.Stats
	gaps   []client.Gap
	remove []func()

	gapReported chan struct{}
}

var transportNames = map[client.Transport]string{
	client.Auto: "auto", client.WebSocket: "ws", client.SSE: "sse", client.LongPoll: "poll", client.EventSource: "eventsource",
}

func connectTrivium(cfg client.Config) *trivium {
	c := &trivium{gapReported: make(chan struct{}, 1)}
	options := map[string]any{"transport": transportNames[cfg.Transport]}
	for name, d := range map[string]time.Duration{"silence": cfg.Silence, "maxWait": cfg.MaxWait, "openTimeout": cfg.OpenTimeout} {
		if d > 0 {
			options[name] = d.Milliseconds()
		}
	}
	if cfg.URL != "" {
		options["url"] = cfg.URL
	}
	if cfg.Topics != nil {
		options["topics"] = jsList(cfg.Topics)
	}
	if cfg.Token != nil {
		c.token = js.FuncOf(func(js.Value, []js.Value) any {
			return newPromise(func() (any, error) {
				token, err := cfg.Token(context.Background())
				return token.Value, err
			})
		})
		options["getToken"] = c.token
	}
	c.subscription = js.Global().Get("trivium").Call("connect", options)
	c.on("state", func(s js.Value) {
		if s.Get("phase").String() == "live" {
			c.stats.Connects++
			c.stats.Reconnects = c.stats.Connects - 1
		}
	})
	c.on("gap", func(g js.Value) {
		c.gaps = append(c.gaps, client.Gap{Reason: hubapi.GapReason(g.Get("reason").String()), Certain: g.Get("certain").Bool()})
		select {
		case c.gapReported <- struct{}{}:
		default:
		}
	})
	return c
}

// on registers a handler and returns a function that removes it. mu is held while the handler runs.
func (c *trivium) on(name string, handle func(js.Value)) (remove func()) {
	f := js.FuncOf(func(_ js.Value, args []js.Value) any {
		c.mu.Lock()
		defer c.mu.Unlock()
		handle(args[0])
		return nil
	})
	off := c.subscription.Call("on", name, f)
	remove = sync.OnceFunc(func() {
		off.Invoke()
		f.Release()
	})
	c.mu.Lock()
	defer c.mu.Unlock()
	c.remove = append(c.remove, remove)
	return remove
}

func (c *trivium) Close() {
	c.subscription.Call("close")
	c.mu.Lock()
	remove := c.remove
	c.remove = nil
	c.mu.Unlock()
	for _, f := range remove {
		f()
	}
}

func (c *trivium) Use(t client.Transport) { c.subscription.Call("use", transportNames[t]) }

func (c *trivium) Reconnect() { c.subscription.Call("reconnect") }

func (c *trivium) State() client.State { return stateOf(c.subscription.Get("state")) }

func (c *trivium) Stats() client.Stats {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.stats
}

func (c *trivium) SetTopics(ctx context.Context, topics []string) error {
	_, err := settle(ctx, c.subscription.Call("setTopics", jsList(topics)))
	return err
}

func (c *trivium) Publish(ctx context.Context, events ...client.Event) (string, error) {
	data := js.Global().Get("JSON").Call("parse", string(events[0].Data))
	id, err := settle(ctx, c.subscription.Call("publish", events[0].Topic, data))
	if err != nil {
		return "", err
	}
	return id.String(), nil
}

// States implements testedClient.
func (c *trivium) States(ctx context.Context) iter.Seq[client.State] {
	return func(yield func(client.State) bool) {
		var queue []client.State
		more := make(chan struct{}, 1)
		remove := c.on("state", func(s js.Value) {
			queue = append(queue, stateOf(s))
			select {
			case more <- struct{}{}:
			default:
			}
		})
		defer remove()
		for s := c.State(); ; {
			if !yield(s) || s.Phase == client.Ended {
				return
			}
			for next := false; !next; {
				c.mu.Lock()
				if next = len(queue) > 0; next {
					s, queue = queue[0], queue[1:]
				}
				c.mu.Unlock()
				if next {
					break
				}
				select {
				case <-more:
				case <-ctx.Done():
					return
				}
			}
		}
	}
}

// Events implements testedClient. If gaps were reported before an event, it yields the gaps first.
func (c *trivium) Events(ctx context.Context) iter.Seq2[client.Event, error] {
	return func(yield func(client.Event, error) bool) {
		begin := js.Global().Get("Reflect").Call("get", c.subscription, js.Global().Get("Symbol").Get("asyncIterator"))
		loop := begin.Call("call", c.subscription)
		defer loop.Call("return")
		for {
			next := settleSoon(loop.Call("next"))
			for waiting := true; waiting; {
				select {
				case <-c.gapReported:
					if !c.yieldGaps(yield) {
						return
					}
				case r := <-next:
					waiting = false
					if !c.yieldGaps(yield) || !c.yieldEvent(r, yield) {
						return
					}
				case <-ctx.Done():
					yield(client.Event{}, ctx.Err())
					return
				}
			}
		}
	}
}

func (c *trivium) yieldGaps(yield func(client.Event, error) bool) bool {
	c.mu.Lock()
	gaps := c.gaps
	c.gaps = nil
	c.stats.Gaps += uint64(len(gaps))
	c.mu.Unlock()
	for _, gap := range gaps {
		if !yield(client.Event{Gap: &gap}, nil) {
			return false
		}
	}
	return true
}

func (c *trivium) yieldEvent(r settled, yield func(client.Event, error) bool) bool {
	switch {
	case r.err != nil:
		yield(client.Event{}, r.err)
		return false
	case r.value.Get("done").Bool():
		yield(client.Event{}, client.ErrClosed)
		return false
	}
	e := r.value.Get("value")
	c.mu.Lock()
	c.stats.Delivered++
	c.mu.Unlock()
	return yield(client.Event{ID: e.Get("id").String(), Topic: e.Get("topic").String(), Data: []byte(e.Get("text").String())}, nil)
}

// settled is the result of a promise.
type settled struct {
	value js.Value
	err   error
}

// settleSoon returns a channel that receives the result of a promise.
func settleSoon(promise js.Value) <-chan settled {
	result := make(chan settled, 1)
	var done, failed js.Func
	end := func(r settled) any {
		done.Release()
		failed.Release()
		result <- r
		return nil
	}
	done = js.FuncOf(func(_ js.Value, args []js.Value) any {
		var value js.Value
		if len(args) > 0 {
			value = args[0]
		}
		return end(settled{value: value})
	})
	failed = js.FuncOf(func(_ js.Value, args []js.Value) any { return end(settled{err: errorOf(args[0])}) })
	promise.Call("then", done, failed)
	return result
}

// settle waits for the result of a promise.
func settle(ctx context.Context, promise js.Value) (js.Value, error) {
	select {
	case r := <-settleSoon(promise):
		return r.value, r.err
	case <-ctx.Done():
		return js.Undefined(), ctx.Err()
	}
}

// newPromise returns a promise with the result of f, which runs on a goroutine.
func newPromise(f func() (any, error)) js.Value {
	var executor js.Func
	executor = js.FuncOf(func(_ js.Value, args []js.Value) any {
		resolve, reject := args[0], args[1]
		go func() {
			defer executor.Release()
			if value, err := f(); err != nil {
				reject.Invoke(js.Global().Get("Error").New(err.Error()))
			} else {
				resolve.Invoke(value)
			}
		}()
		return nil
	})
	return js.Global().Get("Promise").New(executor)
}

func jsList(list []string) []any {
	values := make([]any, len(list))
	for i, s := range list {
		values[i] = s
	}
	return values
}

// errorOf converts an error of trivium.js to the error that the Go client would return.
func errorOf(e js.Value) error {
	message := e.Get("message").String()
	if status := e.Get("status"); status.Type() == js.TypeNumber && status.Int() > 0 {
		return &client.FinalError{Status: status.Int(), Err: &client.Problem{Status: status.Int(), Detail: message}}
	}
	return errors.New(message)
}

func stateOf(s js.Value) client.State {
	phases := map[string]client.Phase{
		"connecting": client.Connecting, "live": client.Live, "waiting": client.Waiting, "idle": client.Idle, "closed": client.Ended,
	}
	state := client.State{Phase: phases[s.Get("phase").String()]}
	for t, name := range transportNames {
		if name == s.Get("transport").String() {
			state.Transport = t
		}
	}
	if wait := s.Get("wait"); wait.Type() == js.TypeNumber {
		state.Wait = time.Duration(math.Round(wait.Float())) * time.Millisecond
	}
	if reason := s.Get("error"); reason.Truthy() {
		state.Reason = errorOf(reason)
	}
	return state
}
