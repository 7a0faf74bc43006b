package main

import (
	"bytes"
	"context"
	"errors"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestStepsGoOnAfterAFailure(t *testing.T) {
	var ran []string
	add := func(name string, err error) step {
		return step{name, func(context.Context) error { ran = append(ran, name); return err }}
	}
	var out bytes.Buffer
	results := runSteps(t.Context(), &out, []step{
		add("one", nil), add("two", errors.New("it broke")), add("three", nil),
	})
	require.Equal(t, []string{"one", "two", "three"}, ran)
	require.Contains(t, out.String(), "FAILED two: it broke")

	out.Reset()
	require.EqualError(t, summarize(&out, results), "1 of 3 steps did not pass: two")
	require.Regexp(t, `(?m)^ok +\d+\.\ds +one$`, out.String())
	require.Regexp(t, `(?m)^FAILED +\d+\.\ds +two$`, out.String())
}

func TestSummaryOfSuccessIsNoError(t *testing.T) {
	require.NoError(t, summarize(&bytes.Buffer{}, []result{{name: "one"}}))
}

func TestInterruptStartsNoFurtherStep(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	var out bytes.Buffer
	results := runSteps(ctx, &out, []step{
		{"one", func(context.Context) error { cancel(); return ctx.Err() }},
		{"two", func(context.Context) error { t.Error("started after the interrupt"); return nil }},
	})
	require.Error(t, summarize(&out, results))
	require.Regexp(t, `(?m)^not run +0\.0s +two$`, out.String())
}
