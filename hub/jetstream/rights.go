package jetstream

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// checkRights reports the rights that the NATS user lacks. The server answers a message on a subject that
// is not allowed with an error on the connection, and the request itself runs into a timeout; so each
// subject is tried once, with a message that changes nothing.
func (e *Engine) checkRights() error {
	api := func(request string) string { return "$JS.API." + request + "." + e.cfg.Stream }
	none := e.prefix + "$none" // no event has this subject
	var missing []error
	for _, probe := range []struct{ subject, body string }{
		{none, ""}, // refused: see the header
		{api("STREAM.INFO"), ""},
		{api("STREAM.CREATE"), `{"name":"-"}`}, // refused: another name than the subject has
		{api("STREAM.UPDATE"), `{"name":"-"}`},
		{api("STREAM.PURGE"), fmt.Sprintf(`{"filter":%q}`, none)},
		{api("STREAM.MSG.GET"), `{"seq":1}`},
		{api("DIRECT.GET"), `{"seq":1}`},
		{api("CONSUMER.CREATE") + ".none", `{"stream_name":"-"}`},
		{api("CONSUMER.INFO") + ".none", ""},
		{api("CONSUMER.DELETE") + ".none", ""},
		{api("CONSUMER.MSG.NEXT") + ".none", `{"no_wait":true}`},
	} {
		m := &nats.Msg{Subject: probe.subject, Reply: e.conn.NewInbox(), Data: []byte(probe.body)}
		if probe.subject == none {
			addHeader(m, jetstream.ExpectedLastSeqHeader, strconv.FormatUint(math.MaxInt64, 10))
		}
		err := e.conn.PublishMsg(m)
		if err == nil {
			err = e.conn.FlushTimeout(infoTimeout)
		}
		switch last := e.conn.LastError(); {
		case err != nil:
			return away(err)
		case errors.Is(last, nats.ErrPermissionViolation) && strings.Contains(last.Error(), `"`+probe.subject+`"`):
			missing = append(missing, fmt.Errorf("the NATS user may not publish to %q", probe.subject))
		}
	}
	inbox := e.conn.NewInbox()
	answers, err := e.conn.SubscribeSync(inbox)
	if err != nil {
		return away(err)
	}
	defer func() { _ = answers.Unsubscribe() }()
	if err := e.conn.FlushTimeout(infoTimeout); err != nil {
		return away(err)
	}
	if last := e.conn.LastError(); errors.Is(last, nats.ErrPermissionViolation) && strings.Contains(last.Error(), inbox) {
		missing = append(missing, fmt.Errorf("the NATS user may not subscribe to %q", "_INBOX.>"))
	}
	return errors.Join(missing...)
}
