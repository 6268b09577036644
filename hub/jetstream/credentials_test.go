package jetstream

import (
	"bytes"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/stretchr/testify/require"

	"github.com/trivium-hub/trivium/hub"
	"github.com/trivium-hub/trivium/hub/enginetest"
)

// journal is what was logged.
type journal struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (j *journal) Write(p []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.Write(p)
}

func (j *journal) count(what string) int {
	j.mu.Lock()
	defer j.mu.Unlock()
	return bytes.Count(j.text.Bytes(), []byte(what))
}

// testCredentials: a hub whose credentials are refused for a while, be it again and again, goes on when they
// are taken.
func testCredentials(t *testing.T) {
	options := &server.Options{
		Host: "127.0.0.1", Port: server.RANDOM_PORT, NoLog: true, NoSigs: true, JetStream: true,
		StoreDir: t.TempDir(), MaxPayload: 2 << 20, Username: "hub", Password: "secret",
	}
	nats, err := server.NewServer(options)
	require.NoError(t, err)
	nats.Start()
	t.Cleanup(func() { nats.Shutdown(); nats.WaitForShutdown() })
	require.True(t, nats.ReadyForConnections(enginetest.Patience))
	become := func(password string) {
		changed := options.Clone()
		changed.Password = password
		require.NoError(t, nats.ReloadOptions(changed))
	}
	var said journal
	h, e := startHub(t, Config{
		URL: "nats://hub:secret@" + nats.Addr().String(), Logger: slog.New(slog.NewTextHandler(&said, nil)),
	}, hub.Retention{})
	_, err = h.Publish(t.Context(), one("a"))
	require.NoError(t, err)
	become("another")
	require.Eventually(t, func() bool { return said.count("uthorization") >= 4 }, enginetest.Patience, 10*time.Millisecond)
	require.Error(t, e.Ready())
	become("secret")
	require.Eventually(t, func() bool {
		_, err := h.Publish(t.Context(), one("b"))
		return err == nil
	}, enginetest.Patience, 10*time.Millisecond)
	require.Zero(t, said.count("secret"))
}

// testRights: a hub whose NATS user lacks a right does not start, and names it.
func testRights(t *testing.T) {
	all := []string{
		"trivium.>", "$JS.API.STREAM.INFO.trivium", "$JS.API.STREAM.CREATE.trivium", "$JS.API.STREAM.UPDATE.trivium",
		"$JS.API.STREAM.PURGE.trivium", "$JS.API.STREAM.MSG.GET.trivium", "$JS.API.DIRECT.GET.trivium",
		"$JS.API.CONSUMER.*.trivium.>", "$JS.API.CONSUMER.MSG.NEXT.trivium.>",
	}
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
	allow("deaf", all, []string{"other"})
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
			e := newEngine(t, Config{URL: "nats://" + user.Username + ":secret@" + nats.Addr().String()})
			_, err := e.Start(func([]*hub.Event) {})
			without, found := strings.CutPrefix(user.Username, "without-")
			switch {
			case user.Username == "deaf":
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
