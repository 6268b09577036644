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
)

// Limits of tickets.
const (
	TicketLifetime = 30 * time.Second

	maxTickets         = 10_000
	maxTicketsPerToken = 100
	maxTicketBytes     = 16 << 20 // total bytes of the tokens of all tickets

	// Limits of concurrent requests to other hubs. Each request may take seconds, and anyone can
	// cause one by sending a string that looks like a ticket.
	maxPeerRequests           = 64
	maxPeerRequestsPerNetwork = 8
)

// peerRetry is the delay after which to retry if another hub did not answer. It is much shorter
// than TicketLifetime, so that the ticket has usually not expired when the client retries.
const peerRetry = 2 * time.Second

// ErrTicket is returned for a ticket that was never issued, was used, or has expired (401).
var ErrTicket = errors.New("the ticket is not valid: it was used, or is older than 30 seconds")

// Tickets issues and redeems tickets. A ticket replaces a token in a URL. It is valid for
// TicketLifetime, and only once. Tickets is safe for concurrent use.
type Tickets struct {
	id string // ID of this hub; its tickets begin with the ID and a dot

	mu      sync.Mutex // guards the fields below
	peers   TicketPeers
	byHash  map[[sha256.Size]byte]*ticket
	queue   []*ticket // oldest first, including used ones
	byToken map[[sha256.Size]byte]int
	bytes   int // total bytes of the tokens in byHash

	peerRequests int // number of requests in progress
	byNetwork    map[netip.Prefix]int
}

// TicketPeers sends requests to other hubs that accept the same tokens, so that each hub also
// accepts the tickets of the others.
type TicketPeers interface {
	// AskPeer sends a request to the hub with this ID, and returns the result of its
	// Tickets.Answer.
	AskPeer(ctx context.Context, id string, request []byte) ([]byte, error)
}

type ticket struct {
	hash    [sha256.Size]byte
	key     [sha256.Size]byte // see sealer
	token   string
	expires time.Time
}

// NewTickets returns a Tickets that accepts only the tickets that it has issued.
func NewTickets() *Tickets {
	var id [8]byte
	_, _ = rand.Read(id[:]) // never fails
	return &Tickets{
		id:      hex.EncodeToString(id[:]),
		byHash:  make(map[[sha256.Size]byte]*ticket),
		byToken: make(map[[sha256.Size]byte]int),

		byNetwork: make(map[netip.Prefix]int),
	}
}

// ID returns the ID of this hub. All tickets of the hub begin with this ID.
func (t *Tickets) ID() string { return t.id }

// SetPeers sets the other hubs whose tickets are accepted.
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

// removeExpired removes tickets that have expired. A used ticket counts toward the limits until it
// expires, so the limits also bound the number of tickets issued per TicketLifetime.
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

// take returns the token for a ticket that this hub has issued. A second call returns false.
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

// Redeem returns the token for a ticket. A ticket can be redeemed once. client is the network of
// the client's address, see NetworkOf. The error is ErrTicket, or a *LimitError if there are too
// many requests to other hubs, or an error that wraps ErrUnavailable if the hub that issued the
// ticket does not answer.
func (t *Tickets) Redeem(ctx context.Context, client netip.Prefix, text string) (token string, err error) {
	hash := sha256.Sum256([]byte(text))
	id, secret, ok := strings.Cut(text, ".")
	if !ok || len(id) != len(t.id) || len(secret) > 64 || !isToken(text) {
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
	if err != nil { // the error is not passed on, because it concerns the connection between hubs
		return "", &UnavailableError{RetryAfter: peerRetry, detail: "the hub that issued the ticket does not answer"}
	}
	aead, nonce := sealer(ticketKey(text))
	plain, err := aead.Open(nil, nonce, sealed, nil)
	if err != nil {
		return "", ErrTicket // an empty answer cannot be decrypted either
	}
	return string(plain), nil
}

// beginPeerRequest counts a request to another hub. If it returns nil, endPeerRequest must be
// called.
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

// Answer returns the answer to a request that Redeem of another hub has sent. The request is the
// hash of a ticket. The answer is the ticket's token, encrypted with the ticket itself, or nil if
// there is no valid ticket with that hash. The traffic between hubs therefore reveals neither the
// token nor the ticket.
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

// sealer returns the cipher for a key, and the nonce. The nonce is constant, because each key
// encrypts only one token.
func sealer(key [sha256.Size]byte) (aead cipher.AEAD, nonce []byte) {
	block, err := aes.NewCipher(key[:])
	if err == nil {
		aead, err = cipher.NewGCM(block)
	}
	if err != nil {
		panic(err) // never happens, because the key has the right size
	}
	return aead, make([]byte, aead.NonceSize())
}
