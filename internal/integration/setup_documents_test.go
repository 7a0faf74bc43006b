package integration_test

import (
	"context"
	"errors"
	"net/http"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/event"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/typedsession/session"
	"github.com/typedsession/session/internal/servers"
	"github.com/typedsession/session/store"
	"github.com/typedsession/session/store/mongostore"
)

// What a login leaves in MongoDB, and what EnsureIndexes asks for, is what
// docs/stores.md says.
func TestSetupMongoDocuments(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	var created []string
	monitor := &event.CommandMonitor{Started: func(_ context.Context, e *event.CommandStartedEvent) {
		if e.CommandName != "createIndexes" {
			return
		}
		mu.Lock()
		defer mu.Unlock()
		created = append(created, shellIndex(e.Command.Lookup("indexes", "0").Document()))
	}}
	uri := servers.MongoDB(t).Database(t)
	mongoSite(t, uri)
	c := newMongo(t, uri, func(o *options.ClientOptions) { o.SetMonitor(monitor) }).Collection("sessions")
	s := mongostore.New(c)
	require.NoError(t, s.EnsureIndexes(t.Context()))
	lines := strings.Split(strings.TrimSpace(storesDoc(t).block(t, "schema MongoDB")), "\n")
	require.Equal(t, created, lines[1:])

	n, ada := newNode(t, s), newBrowser(t)
	ada.must(n, both(logIn("ada"), writeNote("of ada")))
	raw, err := c.FindOne(t.Context(), bson.D{}).Raw()
	require.NoError(t, err)
	elements, err := raw.Elements()
	require.NoError(t, err)
	var fields []string
	for _, e := range elements {
		kind := map[bson.Type]string{bson.TypeBinary: "Binary", bson.TypeInt64: "Long", bson.TypeDateTime: "Date"}[e.Value().Type]
		fields = append(fields, e.Key()+": "+kind)
	}
	require.Equal(t, "// {"+strings.Join(fields, ", ")+"}", lines[0])
	_, id := raw.Lookup("_id").Binary()
	require.Len(t, id, 32)
	_, owner := raw.Lookup("o").Binary()
	require.Equal(t, ":ada", string(owner), "the scope, which has no name, and the owner")
	ada.must(n, logOut)
	n2, err := c.CountDocuments(t.Context(), bson.D{})
	require.NoError(t, err)
	require.Zero(t, n2)
}

// shellIndex is how the shell of MongoDB is told to create an index.
func shellIndex(index bson.Raw) string {
	more := bson.D{}
	elements, _ := index.Elements()
	for _, e := range elements {
		if e.Key() != "key" && e.Key() != "name" {
			more = append(more, bson.E{Key: e.Key(), Value: e.Value()})
		}
	}
	json := func(doc any) string {
		text, err := bson.MarshalExtJSON(doc, false, false)
		if err != nil {
			return err.Error()
		}
		spaced := strings.NewReplacer(":", ": ", ",", ", ").Replace(string(text))
		return regexp.MustCompile(`"([$\w]+)": `).ReplaceAllString(spaced, "$1: ")
	}
	return "db.sessions.createIndex(" + json(index.Lookup("key").Document()) + ", " + json(more) + ")"
}

// While no server answers, a request waits for as long as docs/stores.md says.
func TestSetupMongoIsAway(t *testing.T) {
	t.Parallel()
	srv := servers.StartMongoDB(t)
	const pause = 300 * time.Millisecond
	open := func(uri string, change ...func(*session.Config)) (*node, *browser) {
		n, b := newNode(t, mongostore.New(newMongo(t, uri).Collection("sessions")), change...), newBrowser(t)
		b.must(n, writeNote("old"))
		return n, b
	}
	uri := srv.Database(t)
	impatient, ada := open(addParam(uri, "serverSelectionTimeoutMS=300"))
	patient, bob := open(uri, func(c *session.Config) { c.Timeout = pause })
	require.NoError(t, srv.Kill())
	took := func(b *browser, n *node, p page) (a answer) {
		for tries := 0; ; tries++ {
			begun := time.Now()
			a = b.try(n, p)
			wait := time.Since(begun)
			require.Less(t, wait, 10*time.Second)
			if wait >= pause {
				return a
			}
			// One that finds its connection broken does not wait.
			require.GreaterOrEqual(t, a.status, http.StatusInternalServerError)
			require.Less(t, tries, 20)
		}
	}
	requireUnavailable(t, took(ada, impatient, readNote))
	requireUnavailable(t, took(newBrowser(t), impatient, countUp))
	requireUnavailable(t, took(newBrowser(t), patient, countUp)) // Config.Timeout
	a := took(bob, patient, func(ctx context.Context) (string, error) {
		ctx, cancel := context.WithTimeout(ctx, pause)
		defer cancel()
		text, err := note.Get(ctx)
		if !errors.Is(err, context.DeadlineExceeded) {
			return "", errHandler
		}
		return text, err
	})
	require.Equal(t, http.StatusServiceUnavailable, a.status, a.text)
	require.NoError(t, srv.Start())
}

// A session whose former owner's part is kept too may need twice Config.MaxBytes.
func TestSetupMongoLimit(t *testing.T) {
	t.Parallel()
	long(t)
	for size, fits := range map[int]bool{7 << 20: true, 9 << 20: false} {
		n := newNodes(t, mongoBackend().site(t), 1, func(c *session.Config) { c.MaxBytes = size + 100 })[0]
		ada := newBrowser(t)
		ada.must(n, writeLetters(size))
		a := ada.try(n, both(logIn("ada"), writeNote(strings.Repeat("y", size))))
		if fits {
			require.Equal(t, http.StatusOK, a.status, "%v", a.failed)
			continue
		}
		requireUnavailable(t, a)
		require.ErrorIs(t, a.failed, store.ErrRefused)
		require.Equal(t, strings.Repeat("x", 100), ada.must(n, readNote)[:100])
		require.Empty(t, ada.must(n, readOwner))
	}
}
