package hub

import (
	"slices"
	"strings"
)

// index finds the feeds that an event concerns: exact topics by name, wildcards by a tree of
// tokens. It is guarded by Hub.mu.
type index struct {
	exact map[string][]*feed
	root  filterNode
}

// filterNode stands for the tokens on the way to it.
type filterNode struct {
	children map[string]*filterNode // by token, "*" among them
	ends     []*feed                // feeds with a filter that ends here
	tails    []*feed                // feeds with a filter that goes on with ">"
}

func (n *filterNode) empty() bool {
	return len(n.children) == 0 && len(n.ends) == 0 && len(n.tails) == 0
}

func newIndex() index { return index{exact: make(map[string][]*feed)} }

func (ix *index) add(f *feed) {
	for _, filter := range f.set.filters {
		if filter.Exact() {
			ix.exact[filter.text] = append(ix.exact[filter.text], f)
		} else {
			ix.root.add(filter.text, f)
		}
	}
}

func (ix *index) remove(f *feed) {
	for _, filter := range f.set.filters {
		if !filter.Exact() {
			ix.root.remove(filter.text, f)
			continue
		}
		if rest := without(ix.exact[filter.text], f); len(rest) > 0 {
			ix.exact[filter.text] = rest
		} else {
			delete(ix.exact, filter.text)
		}
	}
}

func (n *filterNode) add(filter string, f *feed) {
	token, rest, more := strings.Cut(filter, ".")
	if token == anyTail && !more {
		n.tails = append(n.tails, f)
		return
	}
	if n.children == nil {
		n.children = make(map[string]*filterNode)
	}
	child := n.children[token]
	if child == nil {
		child = new(filterNode)
		n.children[token] = child
	}
	if more {
		child.add(rest, f)
	} else {
		child.ends = append(child.ends, f)
	}
}

func (n *filterNode) remove(filter string, f *feed) {
	token, rest, more := strings.Cut(filter, ".")
	if token == anyTail && !more {
		n.tails = without(n.tails, f)
		return
	}
	child := n.children[token]
	if more {
		child.remove(rest, f)
	} else {
		child.ends = without(child.ends, f)
	}
	if child.empty() {
		delete(n.children, token)
	}
}

// match appends the feeds with a filter that selects the topic. One with several such filters
// comes several times.
func (ix *index) match(dst []*feed, topic string) []*feed {
	dst = append(dst, ix.exact[topic]...)
	if ix.root.empty() || strings.HasPrefix(topic, "$") && !ix.root.hasLiteral(topic) {
		return dst
	}
	return ix.root.match(dst, topic, !strings.HasPrefix(topic, "$"))
}

// hasLiteral reports whether the first token of the topic stands in the tree by name.
func (n *filterNode) hasLiteral(topic string) bool {
	token, _, _ := strings.Cut(topic, ".")
	return n.children[token] != nil
}

func (n *filterNode) match(dst []*feed, topic string, wild bool) []*feed {
	if wild {
		dst = append(dst, n.tails...)
	}
	token, rest, more := strings.Cut(topic, ".")
	for _, name := range [...]string{token, anyToken} {
		child := n.children[name]
		switch {
		case child == nil || name == anyToken && !wild:
		case more:
			dst = child.match(dst, rest, true)
		default:
			dst = append(dst, child.ends...)
		}
	}
	return dst
}

// selects reports whether match would give anything.
func (n *filterNode) selects(topic string, wild bool) bool {
	if wild && len(n.tails) > 0 {
		return true
	}
	token, rest, more := strings.Cut(topic, ".")
	for _, name := range [...]string{token, anyToken} {
		child := n.children[name]
		switch {
		case child == nil || name == anyToken && !wild:
		case more && child.selects(rest, true), !more && len(child.ends) > 0:
			return true
		}
	}
	return false
}

// without takes f out once, in place.
func without(feeds []*feed, f *feed) []*feed {
	i := slices.Index(feeds, f)
	return slices.Delete(feeds, i, i+1)
}
