package main

import (
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// A hub that is started on a restored backup has all events that were in the log at the time of the
// backup, under a new epoch.
func TestBackupAndRestore(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	p := serve(t, binary(t, append(anyPorts, "--auth", "none", "--engine", "embedded", "--store", filepath.Join(dir, "store"))...))
	p.publish("application/json", `[{"topic":"a","data":1},{"topic":"a","data":2}]`)
	position := p.newest()
	file := filepath.Join(dir, "trivium.backup")
	out, err := binary(t, "backup", "--admin-url", "http://"+p.admin, file).CombinedOutput()
	require.NoError(t, err, string(out))
	require.Contains(t, string(out), file+": ")
	p.publish("application/json", `{"topic":"a","data":3}`)

	restored := filepath.Join(dir, "restored")
	out, err = binary(t, "restore", "--store", restored, file).CombinedOutput()
	require.NoError(t, err, string(out))
	require.Contains(t, string(out), "restored; serve it with --engine embedded --store "+restored)
	q := serve(t, binary(t, append(anyPorts, "--auth", "none", "--engine", "embedded", "--store", restored)...))
	require.NotEqual(t, strings.Split(position, "-")[0], strings.Split(q.newest(), "-")[0])
	answer := q.poll("cursor=" + position + "&wait=0")
	require.NotNil(t, answer.Gap)
	require.Len(t, answer.Events, 2)

	memory := serve(t, binary(t, append(anyPorts, "--auth", "none")...))
	status, text := memory.request(http.MethodGet, "http://"+memory.admin+"/backup", "", "")
	require.Equal(t, http.StatusBadRequest, status)
	require.Contains(t, text, "only the log of an embedded engine")
	cmd := binary(t, "backup", "--admin-url", "http://"+memory.admin, filepath.Join(dir, "none"))
	out, err = cmd.CombinedOutput()
	require.Error(t, err)
	require.Contains(t, string(out), "only the log of an embedded engine")
	require.NoFileExists(t, filepath.Join(dir, "none"))
}
