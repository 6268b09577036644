package hubs

import (
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/trivium-hub/trivium/cmd/trivium/internal/hubtest"
)

// A hub with a store that was restored from a backup has all events that were in the log at the time
// of the backup. The log has a new epoch, so that clients that resume receive a gap.
func TestBackupAndRestore(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	p := hubtest.Start(t, hubtest.Binary(t, append(hubtest.AnyPorts, "--auth", "none", "--engine", "embedded", "--store", filepath.Join(dir, "store"))...))
	p.Publish("application/json", `[{"topic":"a","data":1},{"topic":"a","data":2}]`)
	position := p.Newest()
	file := filepath.Join(dir, "trivium.backup")
	out, err := hubtest.Binary(t, "backup", "--admin-url", "http://"+p.Admin, file).CombinedOutput()
	require.NoError(t, err, string(out))
	require.Contains(t, string(out), file+": ")
	p.Publish("application/json", `{"topic":"a","data":3}`)

	restored := filepath.Join(dir, "restored")
	out, err = hubtest.Binary(t, "restore", "--store", restored, file).CombinedOutput()
	require.NoError(t, err, string(out))
	require.Contains(t, string(out), "restored; serve it with --engine embedded --store "+restored)
	q := hubtest.Start(t, hubtest.Binary(t, append(hubtest.AnyPorts, "--auth", "none", "--engine", "embedded", "--store", restored)...))
	require.NotEqual(t, strings.Split(position, "-")[0], strings.Split(q.Newest(), "-")[0])
	answer := q.Poll("cursor=" + position + "&wait=0")
	require.NotNil(t, answer.Gap)
	require.Len(t, answer.Events, 2)

	memory := hubtest.Start(t, hubtest.Binary(t, append(hubtest.AnyPorts, "--auth", "none")...))
	status, text := memory.Request(http.MethodGet, "http://"+memory.Admin+"/backup", "", "")
	require.Equal(t, http.StatusBadRequest, status)
	require.Contains(t, text, "only the log of an embedded engine")
	cmd := hubtest.Binary(t, "backup", "--admin-url", "http://"+memory.Admin, filepath.Join(dir, "none"))
	out, err = cmd.CombinedOutput()
	require.Error(t, err)
	require.Contains(t, string(out), "only the log of an embedded engine")
	require.NoFileExists(t, filepath.Join(dir, "none"))
}
