package jetstream

import (
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/stretchr/testify/require"

	"github.com/trivium-hub/trivium/hub"
	"github.com/trivium-hub/trivium/hub/enginetest"
)

// neededRights are the subjects to which a hub must be able to publish, as listed in
// docs/operations.md.
var neededRights = []string{
	"trivium.>", "$JS.API.STREAM.INFO.trivium", "$JS.API.STREAM.CREATE.trivium", "$JS.API.STREAM.UPDATE.trivium",
	"$JS.API.STREAM.PURGE.trivium", "$JS.API.STREAM.MSG.GET.trivium", "$JS.API.DIRECT.GET.trivium",
	"$JS.API.CONSUMER.*.trivium.>", "$JS.API.CONSUMER.MSG.NEXT.trivium.>",
}

// TestRights checks that a hub does not start if its NATS user lacks a right, and that the error
// names the right.
func TestRights(t *testing.T) {
	t.Parallel()
	all := neededRights
	var users []*server.User
	allow := func(name string, publish, subscribe []string) {
		users = append(users, &server.User{Username: name, Password: "secret", Permissions: &server.Permissions{
			Publish: &server.SubjectPermission{Allow: publish}, Subscribe: &server.SubjectPermission{Allow: subscribe},
		}})
	}
	allow("all", all, []string{"_INBOX.>", "$JS.EVENT.ADVISORY.STREAM.LEADER_ELECTED.trivium"})
	allow("no-advisory", all, []string{"_INBOX.>"})
	for i := range all {
		allow(fmt.Sprint("without-", i), slices.Delete(slices.Clone(all), i, i+1), []string{"_INBOX.>"})
	}
	allow("unanswered", all, []string{"other"})
	nats, err := server.NewServer(&server.Options{
		Host: "127.0.0.1", Port: server.RANDOM_PORT, NoLog: true, NoSigs: true, JetStream: true,
		StoreDir: t.TempDir(), MaxPayload: 2 << 20, Users: users,
	})
	require.NoError(t, err)
	nats.Start()
	t.Cleanup(func() { nats.Shutdown(); nats.WaitForShutdown() })
	require.True(t, nats.ReadyForConnections(enginetest.Patience))
	for _, user := range users {
		t.Run(user.Username, func(t *testing.T) {
			without, found := strings.CutPrefix(user.Username, "without-")
			e, err := (*Engine)(nil), hub.ErrUnavailable
			for begin := time.Now(); errors.Is(err, hub.ErrUnavailable) && !strings.Contains(err.Error(), "may not") && time.Since(begin) < enginetest.Patience; {
				e = newEngine(t, Config{URL: "nats://" + user.Username + ":secret@" + nats.Addr().String()})
				_, err = e.Start(func([]*hub.Event) {})
			}
			switch {
			case user.Username == "unanswered":
				require.ErrorContains(t, err, `the NATS user may not subscribe to "_INBOX.>"`)
			case !found:
				require.NoError(t, err)
				require.NoError(t, e.Close())
			default:
				i, err2 := strconv.Atoi(without)
				require.NoError(t, err2)
				lacks, _, _ := strings.Cut(strings.TrimSuffix(all[i], ">"), "*")
				require.ErrorContains(t, err, `the NATS user may not publish to "`+lacks)
			}
		})
	}
}

// TestLostRights checks that a hub whose NATS user loses a right is not ready and names the right,
// and that it continues when the user has the right again.
func TestLostRights(t *testing.T) {
	if testing.Short() {
		t.Skip("the test waits for checks of the rights, which take place every few seconds")
	}
	t.Parallel()
	answers := []string{"_INBOX.>"}
	for _, right := range []string{"trivium.>", "$JS.API.STREAM.MSG.GET.trivium", "$JS.API.CONSUMER.*.trivium.>", "_INBOX.>"} {
		publish, subscribe, want := neededRights, answers, `the NATS user may not subscribe to "_INBOX.>"`
		if right == "_INBOX.>" {
			subscribe = []string{"other"}
		} else {
			lost, _, _ := strings.Cut(strings.TrimSuffix(right, ">"), "*")
			want = `the NATS user may not publish to "` + lost
			publish = slices.DeleteFunc(slices.Clone(neededRights), func(r string) bool { return r == right })
		}
		t.Run(want, func(t *testing.T) {
			t.Parallel()
			testLostRight(t, &server.Permissions{
				Publish: &server.SubjectPermission{Allow: publish}, Subscribe: &server.SubjectPermission{Allow: subscribe},
			}, want, right == "trivium.>")
		})
	}
}

// testLostRight reduces the rights of the hub's NATS user to those in the parameter left, and later
// restores them. The hub must report the missing right in an error that contains the text want. If refusesPublish is set,
// the hub must also refuse to publish, and the rights are reduced and restored twice.
func testLostRight(t *testing.T, left *server.Permissions, want string, refusesPublish bool) {
	options := &server.Options{
		Host: "127.0.0.1", Port: server.RANDOM_PORT, NoLog: true, NoSigs: true, JetStream: true,
		StoreDir: t.TempDir(), MaxPayload: 2 << 20,
	}
	all := &server.Permissions{
		Publish: &server.SubjectPermission{Allow: neededRights}, Subscribe: &server.SubjectPermission{Allow: []string{"_INBOX.>"}},
	}
	withRights := func(rights *server.Permissions) *server.Options {
		o := options.Clone()
		o.Users = []*server.User{{Username: "hub", Password: "secret", Permissions: rights}}
		return o
	}
	nats, err := server.NewServer(withRights(all))
	require.NoError(t, err)
	nats.Start()
	t.Cleanup(func() { nats.Shutdown(); nats.WaitForShutdown() })
	require.True(t, nats.ReadyForConnections(enginetest.Patience))
	var log logRecorder
	h, e := startHub(t, Config{
		URL: "nats://hub:secret@" + nats.Addr().String(), Logger: slog.New(slog.NewTextHandler(&log, nil)),
	}, hub.Retention{})
	r := enginetest.Subscribe(t, h, hub.Request{Filters: enginetest.Set(t, ">")})
	rounds := 1
	if refusesPublish {
		rounds = 2
	}
	for round := range rounds {
		require.NoError(t, nats.ReloadOptions(withRights(left)))
		require.Eventually(t, func() bool {
			err := e.Ready()
			return err != nil && strings.Contains(err.Error(), want)
		}, enginetest.Patience, 10*time.Millisecond, "%s", want)
		require.ErrorIs(t, e.Ready(), hub.ErrUnavailable)
		if refusesPublish {
			_, err := h.Publish(t.Context(), one("refused"))
			require.ErrorIs(t, err, hub.ErrUnavailable)
			require.ErrorContains(t, err, want)
		}
		logged := func(what string) { // the log line may be written after the change of Ready
			t.Helper()
			require.Eventually(t, func() bool { return log.count(what) == round+1 }, enginetest.Patience, 10*time.Millisecond, what)
		}
		logged("the NATS user lacks rights")
		require.NoError(t, nats.ReloadOptions(withRights(all)))
		var last hub.Cursor
		require.Eventually(t, func() bool {
			if e.Ready() != nil {
				return false
			}
			last, err = h.Publish(t.Context(), one("a"))
			return err == nil
		}, enginetest.Patience, 10*time.Millisecond)
		r.Until(last.Seq)
		require.Empty(t, r.Gaps)
		logged("the missing NATS permissions were restored")
	}
}
