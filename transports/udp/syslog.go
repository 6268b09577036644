package udp

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"time"

	"github.com/leodido/go-syslog/v4"
	"github.com/leodido/go-syslog/v4/rfc3164"
	"github.com/leodido/go-syslog/v4/rfc5424"
)

// syslogMessage is the content of a syslog message. Its JSON is the data of the event.
type syslogMessage struct {
	Facility       uint8                        `json:"facility"` // 0 to 23
	Severity       uint8                        `json:"severity"` // 0 (emergency) to 7 (debug)
	Timestamp      *time.Time                   `json:"timestamp,omitempty"`
	Hostname       string                       `json:"hostname,omitempty"`
	AppName        string                       `json:"appname,omitempty"`
	ProcID         string                       `json:"procid,omitempty"`
	MsgID          string                       `json:"msgid,omitempty"`
	StructuredData map[string]map[string]string `json:"structured_data,omitempty"`
	Message        string                       `json:"message"`
}

// syslogParser parses messages of RFC 5424 and RFC 3164. It is not safe for concurrent use.
type syslogParser struct{ rfc5424, rfc3164 syslog.Machine }

func newSyslogParser() *syslogParser {
	return &syslogParser{
		rfc5424: rfc5424.NewMachine(rfc5424.WithBestEffort()),
		rfc3164: rfc3164.NewMachine(rfc3164.WithBestEffort(), rfc3164.WithLenientDay(), rfc3164.WithRFC3339(), rfc3164.WithEmbeddedNewlines(),
			rfc3164.WithYear(rfc3164.CurrentYear{}), rfc3164.WithTimezone(time.Local)),
	}
}

var errNoPriority = errors.New("a syslog message must begin with a priority such as <34>")

// toJSON returns the JSON of a syslogMessage for a datagram. If the part after the priority cannot be
// parsed, the member message contains that part unchanged (RFC 3164 section 4.3.3).
func (p *syslogParser) toJSON(datagram []byte) ([]byte, error) {
	datagram = bytes.TrimRight(datagram, "\x00\r\n")
	priority, rest, found := bytes.Cut(datagram, []byte{'>'})
	if !found || len(priority) < 2 || len(priority) > 4 || priority[0] != '<' {
		return nil, errNoPriority
	}
	var m syslogMessage
	parsed, _ := p.parse(datagram, rest) // in best-effort mode, the parser returns a partial result together with an error
	switch got := parsed.(type) {
	case *rfc5424.SyslogMessage:
		m.setBase(&got.Base)
		if got.StructuredData != nil {
			m.StructuredData = *got.StructuredData
		}
	case *rfc3164.SyslogMessage:
		m.setBase(&got.Base)
	default:
		return nil, errNoPriority
	}
	if m.Message == "" && m.Timestamp == nil {
		m.Message = string(rest)
	}
	m.Message = strings.ToValidUTF8(strings.TrimPrefix(m.Message, "\ufeff"), "\ufffd") // RFC 5424 section 6.4 permits a byte order mark
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	err := encoder.Encode(&m)
	return bytes.TrimSpace(out.Bytes()), err
}

// parse parses a datagram according to RFC 5424 if a version number follows the priority, otherwise
// according to RFC 3164. rest is the part after the priority.
func (p *syslogParser) parse(datagram, rest []byte) (syslog.Message, error) {
	if version, _, found := bytes.Cut(rest, []byte{' '}); found && len(version) > 0 && len(version) < 4 && len(bytes.Trim(version, "0123456789")) == 0 {
		return p.rfc5424.Parse(datagram)
	}
	return p.rfc3164.Parse(datagram)
}

func (m *syslogMessage) setBase(b *syslog.Base) {
	if b.Facility != nil && b.Severity != nil {
		m.Facility, m.Severity = *b.Facility, *b.Severity
	}
	m.Timestamp = b.Timestamp
	for to, from := range map[*string]*string{
		&m.Hostname: b.Hostname, &m.AppName: b.Appname, &m.ProcID: b.ProcID, &m.MsgID: b.MsgID, &m.Message: b.Message,
	} {
		if from != nil {
			*to = *from
		}
	}
}
