package udp

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestSyslog(t *testing.T) {
	local := time.Local
	time.Local = time.UTC
	t.Cleanup(func() { time.Local = local })
	year := time.Now().UTC().Format("2006")
	for _, row := range []struct{ name, in, want string }{
		{"RFC 5424", "<165>1 2003-10-11T22:14:15.003Z host.example evntslog 77 ID47 [x@1 a=\"1\"] \ufeffAn entry\x00",
			`{"facility":20,"severity":5,"timestamp":"2003-10-11T22:14:15.003Z","hostname":"host.example","appname":"evntslog","procid":"77","msgid":"ID47","structured_data":{"x@1":{"a":"1"}},"message":"An entry"}`},
		{"RFC 5424, nil values", "<34>1 - - - - - - hello", `{"facility":4,"severity":2,"message":"hello"}`},
		{"RFC 3164", "<34>Oct 11 22:14:15 mymachine su[12]: 'su root' failed <for> x\n",
			`{"facility":4,"severity":2,"timestamp":"` + year + `-10-11T22:14:15Z","hostname":"mymachine","appname":"su","procid":"12","message":"'su root' failed <for> x"}`},
		{"message of logger", "<13>Nov  8 01:02:03 root: text", `{"facility":1,"severity":5,"timestamp":"` + year + `-11-08T01:02:03Z"`},
		{"message forwarded by rsyslog", "<13>2026-11-28T01:59:43.998847+00:00 vm su: text", `"timestamp":"2026-11-28T01:59:43.998847Z","hostname":"vm","appname":"su","message":"text"`},
		{"only a priority and text", "<0>use the BFG!", `{"facility":0,"severity":0,"message":"use the BFG!"}`},
		{"not UTF-8", "<13>1 - - - - - - a\xffb", `{"facility":1,"severity":5,"message":"a` + "\ufffd" + `b"}`},
	} {
		t.Run(row.name, func(t *testing.T) {
			got, err := newSyslogParser().toJSON([]byte(row.in))
			require.NoError(t, err)
			require.Contains(t, string(got), row.want)
		})
	}
	for _, in := range []string{"", "hello", "<>x", "<1234>x", "<13", "13>x"} {
		_, err := newSyslogParser().toJSON([]byte(in))
		require.ErrorIs(t, err, errNoPriority, in)
	}
}

func FuzzSyslog(f *testing.F) {
	f.Add([]byte("<34>Oct 11 22:14:15 mymachine su: text"))
	f.Add([]byte("<165>1 2003-10-11T22:14:15.003Z h a 1 m [x@1 a=\"1\"] text"))
	p := newSyslogParser()
	f.Fuzz(func(t *testing.T, in []byte) {
		if got, err := p.toJSON(in); err == nil {
			require.True(t, len(got) > 0 && got[0] == '{')
		}
	})
}
