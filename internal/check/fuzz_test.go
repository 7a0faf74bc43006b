package main

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestParseTargets(t *testing.T) {
	targets, err := parseTargets(strings.NewReader(`{"Action":"start","Package":"m/a"}
{"Action":"output","Package":"m/a","Output":"FuzzOne\n"}
{"Action":"output","Package":"m/a","Output":"ok  \tm/a\t0.1s\n"}
{"Action":"output","Package":"m/b","Output":"FuzzTwo\n"}
{"Action":"pass","Package":"m/b","Elapsed":0.1}
`))
	require.NoError(t, err)
	require.Equal(t, []target{{"m/a", "FuzzOne"}, {"m/b", "FuzzTwo"}}, targets)

	_, err = parseTargets(strings.NewReader("no JSON\n"))
	require.ErrorContains(t, err, "no JSON")
}
