package redisstore

// Inside the package: the form of a message is not to be seen from outside.

import (
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/typedsession/session/store"
)

func TestChangeIsTold(t *testing.T) {
	t.Parallel()
	c := store.Change{Version: 0x0102030405060708}
	for i := range c.Key {
		c.Key[i] = byte(i)
	}
	want := "\x01" + "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8" + "\x01\x02\x03\x04\x05\x06\x07\x08"
	require.Equal(t, want, string(encodeChange(c)), "it is what older and newer programs hear, and what scripts put together")
	got, ok := parseChange(want)
	require.True(t, ok)
	require.Equal(t, c, got)
}

func FuzzParseChange(f *testing.F) {
	for _, c := range []store.Change{{}, {Version: 1}, {Key: store.Key{0xff, 31: 0xfe}, Version: 1<<63 - 1}} {
		whole := string(encodeChange(c))
		f.Add(whole)
		f.Add(whole[:len(whole)-1])
		f.Add(whole + "\x00")
		f.Add("\x02" + whole[1:])
		f.Add(whole[:keyTextSize] + "9" + whole[keyTextSize+1:]) // trailing bits
		f.Add(whole[:20] + "\n" + whole[21:])                    // which base64 passes over
		f.Add(whole[:20] + "=" + whole[21:])                     // padding
		f.Add(whole[:1+keyTextSize] + strings.Repeat("\xff", 8)) // no version
		f.Add(strings.Replace(whole, "A", "+", 1))               // of another alphabet
		f.Add(strings.Repeat("\x01", changeSize))
	}
	f.Fuzz(func(t *testing.T, payload string) {
		c, ok := parseChange(payload)
		if !ok {
			return
		}
		if c.Version < 0 {
			t.Fatalf("a version that is none was accepted: %d", c.Version)
		}
		if again := string(encodeChange(c)); again != payload {
			t.Fatalf("%q was read, and written as %q", payload, again)
		}
	})
}

// What is not a change is not taken for one.
func TestWhatIsNoChange(t *testing.T) {
	t.Parallel()
	whole := string(encodeChange(store.Change{Version: 7}))
	for name, payload := range map[string]string{
		"nothing":          "",
		"cut":              whole[:len(whole)-1],
		"too long":         whole + "\x00",
		"a later form":     "\x02" + whole[1:],
		"trailing bits":    whole[:keyTextSize] + "B" + whole[keyTextSize+1:],
		"a line break":     whole[:20] + "\n" + whole[21:],
		"another alphabet": whole[:20] + "+" + whole[21:],
		"a large version":  whole[:1+keyTextSize] + "\x80" + strings.Repeat("\x00", 7),
	} {
		_, ok := parseChange(payload)
		require.False(t, ok, name)
	}
}

// What is appended to a channel of a cluster changes no slot, whatever the prefix.
func TestChannelsStayInTheirSlot(t *testing.T) {
	t.Parallel()
	c := redis.NewClusterClient(&redis.ClusterOptions{Addrs: []string{"127.0.0.1:1"}})
	t.Cleanup(func() { _ = c.Close() })
	seen := map[string]bool{}
	for _, prefix := range []string{"", "session:", "{a}:", "a{b", "}{", "a{", "a}b{c}", "{}", "x{}y", "{}{a}", "{", "}"} {
		telling, channels := tellingOf(c, prefix)
		require.Equal(t, sharded, telling)
		require.Len(t, channels, clusterChannels)
		for _, channel := range channels {
			require.False(t, seen[channel], "%q is of two stores", channel)
			seen[channel] = true
			require.Equal(t, hashed(channel), hashed(channel+":ABC"), "%q", channel)
		}
	}
	_, channels := tellingOf(c, DefaultPrefix)
	require.Equal(t, "session:changes:{3}", channels[3])
}

// hashed returns what of a name decides its slot, as the cluster specification has it.
func hashed(name string) string {
	_, rest, found := strings.Cut(name, "{")
	if tag, _, closed := strings.Cut(rest, "}"); found && closed && tag != "" {
		return tag
	}
	return name
}
