package hub

import "context"

type publisherKey struct{}

// WithPublisher returns a context that contains the subject of the publisher. An engine that limits concurrent
// publishes uses it to divide its capacity among subjects.
func WithPublisher(ctx context.Context, subject string) context.Context {
	return context.WithValue(ctx, publisherKey{}, subject)
}

// PublisherOf returns the subject set by WithPublisher, or "".
func PublisherOf(ctx context.Context) string {
	subject, _ := ctx.Value(publisherKey{}).(string)
	return subject
}
