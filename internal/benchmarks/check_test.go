package main

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestPeersDoTheSameWork(t *testing.T) {
	for _, p := range append(peers[:], stores[:]...) {
		for i := range scenarios {
			t.Run(p.name+"/"+scenarios[i].name, func(t *testing.T) {
				require.NoError(t, check(p, &scenarios[i], inMemory))
			})
		}
	}
}

// The sizes are those for which the scenarios were chosen.
func TestSizes(t *testing.T) {
	for _, c := range []struct {
		v    any
		size int
	}{
		{newUser(1), 303},
		{newProfile(), 651},
		{fiftyKeys.contents(480), 7389},
	} {
		got, err := json.Marshal(c.v)
		require.NoError(t, err)
		require.Len(t, got, c.size)
	}
	require.Len(t, fiftyKeys.contents(480), 50)
	require.Equal(t, fifty(480), fifty(40*1000003%997))
}
