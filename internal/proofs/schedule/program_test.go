package schedule_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/typedsession/session/internal/proofs/schedule"
)

func TestParsesSchedules(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"US|D@2:ABBA", "U|U|U@1:", "DS@1:A", "I|J|D@3:CBA", "J|D@2,ada:AB"} {
		s, err := schedule.ParseSchedule(text)
		require.NoError(t, err, text)
		require.Equal(t, text, s.String())
	}
	for _, text := range []string{"", "U|D", "U|D@2", "U|D@:A", "U|D@0:", "U|D@4:", "U|D@2,bob:", "U|Q@2:", "U|D@2:C", "U|D@2:a", "|D@2:", "U|U|U|U@2:"} {
		_, err := schedule.ParseSchedule(text)
		require.Error(t, err, text)
	}
}

func FuzzParseSchedule(f *testing.F) {
	for _, text := range []string{"US|D@2:ABBA", "J|D@2,ada:AB", "U|U|U@1:", "|@:", "U@1:A@1:A"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		s, err := schedule.ParseSchedule(text)
		if err != nil {
			return
		}
		again, err := schedule.ParseSchedule(s.String())
		require.NoError(t, err)
		require.Equal(t, s, again)
	})
}

func ExampleParseSchedule() {
	s, err := schedule.ParseSchedule("UV|D@2:ABAB")
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, p := range s.Case.Programs {
		fmt.Println(p)
	}
	// Output:
	// update, save
	// destroy
}
