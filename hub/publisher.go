package hub

import "context"

type publisherKey struct{}

// WithPublisher returns a context that names the subject for whom events are published. An engine that
// has to make publishers wait shares its capacity among subjects by it.
func WithPublisher(ctx context.Context, subject string) context.Context {
	return context.WithValue(ctx, publisherKey{}, subject)
}

// PublisherOf returns the subject that WithPublisher named, "" if none was named.
func PublisherOf(ctx context.Context) string {
	subject, _ := ctx.Value(publisherKey{}).(string)
	return subject
}
