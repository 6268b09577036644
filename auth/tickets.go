package auth

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"net/netip"
	"strings"
	"sync"
	"time"

	"github.com/trivium-hub/trivium/internal/syntax"
)

// Limits of tickets.
const (
	TicketLifetime = 30 * time.Second

	maxTickets         = 10_000
	maxTicketsPerToken = 100
	maxTicketBytes     = 16 << 20 // of the tokens of all tickets

	// Requests to other hubs in progress. Each may take seconds, and whoever sends a text like a ticket causes one.
	maxPeerRequests           = 64
	maxPeerRequestsPerNetwork = 8
)

// peerRetry is when to try again after a hub did not answer. The ticket is then still valid, if it was not used.
const peerRetry = 2 * time.Second

// ErrTicket is returned for a ticket that was never issued, was used, or has expired (401).
var ErrTicket = errors.New("the ticket is not valid: it was used, or is older than 30 seconds")

// Tickets issues tickets. A ticket stands for a token in a URL: once, and for TicketLifetime. The methods may be
// called by several goroutines at once.
type Tickets struct {
	id string // of this hub; the part of its tickets before the dot

	mu      sync.Mutex // guards what follows
	peers   TicketPeers
	byHash  map[[sha256.Size]byte]*ticket
	queue   []*ticket // the oldest first, used ones included
	byToken map[[sha256.Size]byte]int
	bytes   int // of the tokens in byHash

	peerRequests int // in progress
	byNetwork    map[netip.Prefix]int
}

// TicketPeers asks the hubs that share the tokens, so that each accepts the tickets of all.
type TicketPeers interface {
	// AskPeer returns what the hub with this ID answers to the request: the result of its Tickets.Answer.
	AskPeer(ctx context.Context, id string, request []byte) ([]byte, error)
}

type ticket struct {
	hash    [sha256.Size]byte
	key     [sha256.Size]byte // see sealer
	token   string
	expires time.Time
}

// NewTickets returns a Tickets that knows its own tickets.
func NewTickets() *Tickets {
	var id [8]byte
	_, _ = rand.Read(id[:]) // it never fails
	return &Tickets{
		id:      hex.EncodeToString(id[:]),
		byHash:  make(map[[sha256.Size]byte]*ticket),
		byToken: make(map[[sha256.Size]byte]int),

		byNetwork: make(map[netip.Prefix]int),
	}
}

// ID returns what this hub's tickets begin with.
func (t *Tickets) ID() string { return t.id }

// SetPeers has tickets of other hubs accepted as well.
func (t *Tickets) SetPeers(peers TicketPeers) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.peers = peers
}

// Issue returns a new ticket for a valid token. The error is a *LimitError.
func (t *Tickets) Issue(token string) (string, error) {
	text := t.newText()
	now := time.Now()
	issued := &ticket{hash: sha256.Sum256([]byte(text)), key: ticketKey(text), token: token, expires: now.Add(TicketLifetime)}
	holder := sha256.Sum256([]byte(token))

	t.mu.Lock()
	defer t.mu.Unlock()
	t.removeExpired(now)
	switch {
	case t.byToken[holder] >= maxTicketsPerToken:
		return "", &LimitError{Limit: LimitTickets, Value: maxTicketsPerToken, RetryAfter: TicketLifetime}
	case len(t.queue) >= maxTickets, t.bytes+len(token) > maxTicketBytes:
		return "", &LimitError{Limit: LimitTickets, Value: maxTickets, RetryAfter: TicketLifetime}
	}
	t.byHash[issued.hash] = issued
	t.queue = append(t.queue, issued)
	t.byToken[holder]++
	t.bytes += len(token)
	return text, nil
}

func (t *Tickets) newText() string {
	var secret [18]byte
	_, _ = rand.Read(secret[:])
	return t.id + "." + base64.RawURLEncoding.EncodeToString(secret[:])
}

// removeExpired forgets tickets that have expired. A used one counts toward the limits until then, so that they
// bound the rate.
func (t *Tickets) removeExpired(now time.Time) {
	n := 0
	for n < len(t.queue) && !now.Before(t.queue[n].expires) {
		old := t.queue[n]
		holder := sha256.Sum256([]byte(old.token))
		if t.byToken[holder]--; t.byToken[holder] == 0 {
			delete(t.byToken, holder)
		}
		t.bytes -= len(old.token)
		delete(t.byHash, old.hash)
		t.queue[n] = nil
		n++
	}
	t.queue = t.queue[n:]
}

// take returns the token of one of this hub's tickets, once.
func (t *Tickets) take(hash [sha256.Size]byte) (token string, ok bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	found := t.byHash[hash]
	delete(t.byHash, hash)
	if found == nil || !time.Now().Before(found.expires) {
		return "", false
	}
	return found.token, true
}

// Redeem returns the token of a ticket, once. The client is the network of the address that sent it, see NetworkOf. The
// error is ErrTicket, a *LimitError if too many other hubs are being asked, or wraps ErrUnavailable if the hub that issued
// the ticket does not answer.
func (t *Tickets) Redeem(ctx context.Context, client netip.Prefix, text string) (token string, err error) {
	hash := sha256.Sum256([]byte(text))
	id, secret, ok := strings.Cut(text, ".")
	if !ok || len(id) != len(t.id) || len(secret) > 64 || !syntax.IsToken(text) {
		return "", ErrTicket
	}
	t.mu.Lock()
	peers := t.peers
	t.mu.Unlock()
	if id == t.id || peers == nil {
		if token, ok = t.take(hash); !ok {
			return "", ErrTicket
		}
		return token, nil
	}
	if err := t.beginPeerRequest(client); err != nil {
		return "", err
	}
	sealed, err := peers.AskPeer(ctx, id, hash[:])
	t.endPeerRequest(client)
	if err != nil { // the error is about the link between hubs, which is not the client's business
		return "", &UnavailableError{RetryAfter: peerRetry, detail: "the hub that issued the ticket does not answer"}
	}
	aead, nonce := sealer(ticketKey(text))
	plain, err := aead.Open(nil, nonce, sealed, nil)
	if err != nil {
		return "", ErrTicket // an empty answer too
	}
	return string(plain), nil
}

// beginPeerRequest counts a request to another hub. If the error is nil, endPeerRequest must follow.
func (t *Tickets) beginPeerRequest(client netip.Prefix) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.peerRequests >= maxPeerRequests || t.byNetwork[client] >= maxPeerRequestsPerNetwork {
		return &LimitError{Limit: LimitTicketRequests, Value: maxPeerRequests, RetryAfter: peerRetry}
	}
	t.peerRequests++
	t.byNetwork[client]++
	return nil
}

func (t *Tickets) endPeerRequest(client netip.Prefix) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.peerRequests--
	if t.byNetwork[client]--; t.byNetwork[client] == 0 {
		delete(t.byNetwork, client)
	}
}

// Answer answers a request of another hub's Redeem: it returns the token of the ticket with this hash, encrypted
// with the ticket itself, and nothing if there is none. A reader of the traffic between hubs learns neither of them.
func (t *Tickets) Answer(request []byte) []byte {
	if len(request) != sha256.Size {
		return nil
	}
	hash := [sha256.Size]byte(request)
	t.mu.Lock()
	found := t.byHash[hash]
	t.mu.Unlock()
	if found == nil {
		return nil
	}
	token, ok := t.take(hash)
	if !ok {
		return nil
	}
	aead, nonce := sealer(found.key)
	return aead.Seal(nil, nonce, []byte(token), nil)
}

// ticketKey returns the key that encrypts the token of a ticket.
func ticketKey(text string) [sha256.Size]byte {
	return sha256.Sum256([]byte("trivium ticket key\x00" + text))
}

// sealer returns the cipher of a key, and its nonce: each key encrypts one text.
func sealer(key [sha256.Size]byte) (aead cipher.AEAD, nonce []byte) {
	block, err := aes.NewCipher(key[:])
	if err == nil {
		aead, err = cipher.NewGCM(block)
	}
	if err != nil {
		panic(err) // the size of the key is right
	}
	return aead, make([]byte, aead.NonceSize())
}
