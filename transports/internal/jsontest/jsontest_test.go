package jsontest

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/trivium-hub/trivium/hub/jsonscan"
)

// Package jsonscan returns the members and elements of random JSON texts in order and byte for byte.
func TestMembersAndElementsAreUnchanged(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var names, values []string
		object, array := "{"+Space(t), "["+Space(t)
		for i := range rapid.IntRange(0, 5).Draw(t, "members") {
			rawName, value := String(t), Value(t, 2)
			var name string
			require.NoError(t, json.Unmarshal([]byte(rawName), &name))
			names, values = append(names, name), append(values, value)
			comma := strings.Repeat(",", min(i, 1))
			object += comma + Space(t) + rawName + Space(t) + ":" + Space(t) + value + Space(t)
			array += comma + Space(t) + value + Space(t)
		}
		object, array = object+"}", array+"]"
		require.True(t, jsonscan.Valid([]byte(object)), object)

		var gotNames, gotValues, gotElements []string
		require.NoError(t, jsonscan.Members([]byte(object), func(name string, value []byte) error {
			gotNames, gotValues = append(gotNames, name), append(gotValues, string(value))
			return nil
		}))
		require.NoError(t, jsonscan.Elements([]byte(array), func(value []byte) error {
			gotElements = append(gotElements, string(value))
			return nil
		}))
		require.Equal(t, names, gotNames, object)
		require.Equal(t, values, gotValues, object)
		require.Equal(t, values, gotElements, array)
	})
}
