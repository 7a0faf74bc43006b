package storetest_test

import (
	"errors"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/typedsession/session/store"
	"github.com/typedsession/session/store/storetest"
)

// bug is a way in which a store is wrong, or unusual and right.
type bug string

const (
	none bug = "nothing is wrong"

	loadInvents              bug = "Load returns an empty record where there is none"
	loadIgnoresExpiry        bug = "Load returns expired records"
	loadTorn                 bug = "Load reads the data after the version"
	dataCutAtNUL             bug = "data ends at the first NUL"
	dataCutAt64K             bug = "data is cut at 64 KiB"
	dataTrimmed              bug = "white space at the ends of data is lost"
	dataScribbled            bug = "the slice that was passed is written to"
	bufferReused             bug = "Swap writes over the data that Load has returned"
	versionCut               bug = "versions are kept in 32 bits"
	versionFloat             bug = "versions are kept as floating-point numbers"
	versionCounts            bug = "Swap counts versions itself"
	versionsOrdered          bug = "Swap wants the new version to be greater"
	versionsNear             bug = "Swap compares versions as floating-point numbers"
	expirySeconds            bug = "expiry is kept in seconds"
	endsEarly                bug = "records end five seconds early"
	endsRounded              bug = "records end at whole seconds"
	ownerCut                 bug = "owners are cut at 255 bytes"
	ownerTrimmed             bug = "white space at the ends of owners is lost"
	keyFolded                bug = "keys are compared without case"
	keyCut                   bug = "the last byte of a key is lost"
	keyTrimmed               bug = "zeros and spaces at the end of a key are lost"
	keyCutAtNUL              bug = "keys end at the first NUL"
	keyText                  bug = "keys are made valid UTF-8"
	insertReplaces           bug = "Insert replaces"
	insertRevives            bug = "Insert brings an expired record back"
	insertGetThenSet         bug = "Insert looks, then writes"
	swapUpserts              bug = "Swap creates what is absent"
	swapIgnoresExpiry        bug = "Swap replaces expired records"
	swapIgnoresVersion       bug = "Swap replaces any version"
	swapGetThenSet           bug = "Swap looks, then writes"
	swapKeepsOwner           bug = "Swap keeps the owner"
	swapKeepsExpiry          bug = "Swap keeps the expiry"
	swapOnlyLengthens        bug = "Swap keeps the later expiry"
	swapKeepsTimer           bug = "Swap changes what Expires says, but not when the record ends"
	swapReindexes            bug = "Swap takes the record off its owner's list and puts it back"
	swapForgetsIndex         bug = "Swap does not move the record to its new owner"
	swapRemembers            bug = "Swap acknowledges every version that was ever stored"
	repeatConflicts          bug = "Swap to the stored version is a conflict"
	repeatWrites             bug = "Swap to the stored version writes again"
	conflictLies             bug = "Swap returns a wrong record with ErrConflict"
	conflictWritesExpiry     bug = "Swap writes the expiry also with ErrConflict"
	touchNothing             bug = "Touch does nothing"
	touchFails               bug = "Touch of an absent record is an error"
	touchNewVersion          bug = "Touch changes the version"
	touchDropsData           bug = "Touch loses the data"
	touchDropsOwner          bug = "Touch loses the owner"
	touchShortens            bug = "Touch shortens"
	touchAnyVersion          bug = "Touch does not look at the version"
	touchUpserts             bug = "Touch creates what is absent"
	touchRevives             bug = "Touch brings an expired record back"
	touchKeepsTimer          bug = "Touch changes what Expires says, but not when the record ends"
	touchGetThenSet          bug = "Touch looks, then writes the whole record"
	deleteSwallowed          bug = "Delete does nothing"
	deleteAbsentFails        bug = "Delete of an absent record is an error"
	contextIgnored           bug = "the context is not looked at"
	contextMeansAbsent       bug = "an ended context passes for an absent record"
	ownersFolded             bug = "owners are compared without case"
	ownersPadded             bug = "owners are compared without spaces at their ends"
	ownersPrefix             bug = "an owner has the records of those whose names begin with his"
	ownerEmpty               bug = "what nobody owns is listed and deleted as the empty owner's"
	listExpired              bug = "ListOwner returns expired records"
	listEndsEarly            bug = "ListOwner leaves expired records out of a page without filling it"
	listUnordered            bug = "ListOwner is in no order"
	listUnlimited            bug = "ListOwner ignores the limit"
	listFromAfter            bug = "ListOwner begins at after, not behind it"
	listBare                 bug = "ListOwner returns records without their data"
	deleteOwnerAll           bug = "DeleteOwner ignores the exceptions"
	deleteOwnerBlind         bug = "DeleteOwner deletes what it has listed without looking again"
	deleteOwnerCountsExpired bug = "DeleteOwner counts expired records"
	deleteOwnerMiscounts     bug = "DeleteOwner always returns 0"
	sweepRemovesLive         bug = "DeleteExpired removes live records"
	sweepUnlimited           bug = "DeleteExpired ignores the limit"
	sweepStopsEarly          bug = "DeleteExpired stops after one record"
	sweepMiscounts           bug = "DeleteExpired always returns 0"
	sweepOnlyCounts          bug = "DeleteExpired counts and removes nothing"
	cacheBlind               bug = "a cache that does not say it is one"
	cacheInvents             bug = "a cache that changes what it caches"
	freshIsCached            bug = "LoadFresh is answered by the cache"
	freshDoesNotFill         bug = "LoadFresh leaves the cache as it is"
	watchDeafToSwaps         bug = "Watch does not tell of Swap"
	watchDeafToDeletes       bug = "Watch does not tell of Delete"
	watchDeafToOwners        bug = "Watch does not tell of DeleteOwner"
	watchTellsOldVersion     bug = "Watch tells the version that was replaced"
	watchTellsDeadVersion    bug = "Watch tells the version that was deleted"
	watchTellsTooSoon        bug = "Watch tells of a Swap before it happens"
	watchReadyEarly          bug = "Watch calls ready before it listens"
	watchReadyLate           bug = "Watch calls ready after the first change"
	watchReadyTwice          bug = "Watch calls ready twice"
	watchOverlaps            bug = "Watch calls changed from several goroutines at once"
	watchDropsWhenBusy       bug = "Watch leaves out what happens while changed is running"
	watchKeepsFirst          bug = "Watch tells the first of several changes of a key"
	watchAlone               bug = "Watch makes those before it deaf"
	watchEndsAll             bug = "Watch makes all others deaf when it ends"
	watchEndsEarly           bug = "Watch ends after the first change"
	watchEndsWithNil         bug = "Watch returns nil when its context has ended"
	watchDeafToContext       bug = "Watch does not end with its context"
	watchGoesOn              bug = "Watch goes on calling changed after it has returned"
	watchFails               bug = "Watch fails"

	// These are no bugs: the contract allows them.
	conflictZero            bug = "Swap returns the zero record with ErrConflict"
	insertOverExpiredExists bug = "Insert over an expired record returns ErrExists"
	lazyPurge               bug = "what is found to be expired is removed"
	errorsWrapped           bug = "every error is wrapped"
	clockAhead              bug = "the clock of the store is ahead"
	clockBehind             bug = "the clock of the store is behind"
	cacheHonest             bug = "a cache that says it is one"
	watchKeepsLast          bug = "Watch tells the last of several changes of a key"
	watchChatty             bug = "Watch tells twice, and of what never happened"
	watchNotSetUp           bug = "Watch says that the store is not set up for it"
)

// killers names, for each broken store, laws that reject it.
var killers = map[bug][]string{
	loadInvents:              {"load of nothing", "swap creates nothing", "delete wins"},
	loadIgnoresExpiry:        {"records end in time", "insert over an expired record", "swap shortens a life"},
	loadTorn:                 {"records are whole"},
	dataCutAtNUL:             {"data byte for byte"},
	dataCutAt64K:             {"data byte for byte"},
	dataTrimmed:              {"data byte for byte"},
	dataScribbled:            {"data given is not written to"},
	bufferReused:             {"data taken is not written to"},
	versionCut:               {"versions are kept"},
	versionFloat:             {"versions are kept"},
	versionCounts:            {"swap changes every field", "swap repeated happens once"},
	versionsOrdered:          {"versions are equal or not"},
	versionsNear:             {"versions are equal or not"},
	expirySeconds:            {"expiry is kept"},
	endsEarly:                {"records end in time"},
	endsRounded:              {"expiry is not rounded"},
	ownerCut:                 {"owners are kept"},
	ownerTrimmed:             {"owners are kept", "owners are bytes"},
	keyFolded:                {"keys are bytes"},
	keyCut:                   {"keys are bytes"},
	keyTrimmed:               {"keys are bytes"},
	keyCutAtNUL:              {"keys are bytes"},
	keyText:                  {"keys are bytes"},
	insertReplaces:           {"insert never replaces", "one insert wins"},
	insertRevives:            {"insert over an expired record"},
	insertGetThenSet:         {"one insert wins"},
	swapUpserts:              {"swap creates nothing", "swap revives nothing", "delete wins", "delete wins races"},
	swapIgnoresExpiry:        {"swap revives nothing"},
	swapIgnoresVersion:       {"swap refuses a stale version", "no increment is lost", "swap repeated too late"},
	swapGetThenSet:           {"one swap wins", "no increment is lost", "delete wins races"},
	swapKeepsOwner:           {"swap changes every field"},
	swapKeepsExpiry:          {"swap changes every field", "swap shortens a life", "swap lengthens a life"},
	swapOnlyLengthens:        {"swap changes every field", "swap shortens a life", "touch of another version"},
	swapKeepsTimer:           {"swap shortens a life", "swap lengthens a life"},
	swapReindexes:            {"owner lists miss nothing"},
	swapForgetsIndex:         {"owner lists follow swaps", "delete by owner"},
	swapRemembers:            {"swap repeated too late"},
	repeatConflicts:          {"swap repeated happens once"},
	repeatWrites:             {"swap repeated happens once"},
	conflictLies:             {"swap refuses a stale version", "swap repeated too late", "one swap wins"},
	conflictWritesExpiry:     {"swap refuses a stale version"},
	touchNothing:             {"touch lengthens and no more", "touch lengthens a life", "the longest touch wins"},
	touchFails:               {"touch creates nothing", "touch revives nothing", "delete wins"},
	touchNewVersion:          {"touch lengthens and no more", "touch keeps the version"},
	touchDropsData:           {"touch lengthens and no more"},
	touchDropsOwner:          {"touch lengthens and no more", "owner lists follow swaps"},
	touchShortens:            {"touch never shortens"},
	touchAnyVersion:          {"touch of another version", "touch does not undo a swap"},
	touchUpserts:             {"touch creates nothing", "delete wins"},
	touchRevives:             {"touch revives nothing"},
	touchKeepsTimer:          {"touch lengthens a life"},
	touchGetThenSet:          {"no increment is lost", "the longest touch wins", "touch does not undo a swap", "delete wins races"},
	deleteSwallowed:          {"delete wins", "delete wins races", "owner lists omit the dead"},
	deleteAbsentFails:        {"delete of nothing"},
	contextIgnored:           {"an ended context ends a call"},
	contextMeansAbsent:       {"an ended context ends a call"},
	ownersFolded:             {"owners are bytes"},
	ownersPadded:             {"owners are bytes"},
	ownersPrefix:             {"owners are bytes"},
	ownerEmpty:               {"nobody owns nothing"},
	listExpired:              {"owner lists omit the dead"},
	listEndsEarly:            {"owner lists omit the dead"},
	listUnordered:            {"owner lists come in pages"},
	listUnlimited:            {"owner lists come in pages"},
	listFromAfter:            {"owner lists come in pages"},
	listBare:                 {"owner lists are whole"},
	deleteOwnerAll:           {"delete by owner"},
	deleteOwnerBlind:         {"delete by owner looks again"},
	deleteOwnerCountsExpired: {"delete by owner counts the living"},
	deleteOwnerMiscounts:     {"delete by owner"},
	sweepRemovesLive:         {"sweeping spares the living"},
	sweepUnlimited:           {"sweeping removes the expired"},
	sweepStopsEarly:          {"sweeping removes the expired"},
	sweepMiscounts:           {"sweeping removes the expired"},
	sweepOnlyCounts:          {"sweeping removes the expired"},
	cacheBlind:               {"swap changes every field", "touch lengthens and no more", "delete wins"},
	cacheInvents:             {"a cache invents nothing"},
	freshIsCached:            {"fresh load is load", "swap changes every field", "delete wins"},
	freshDoesNotFill:         {"fresh load refreshes"},
	watchDeafToSwaps:         {"watch tells of swaps", "watch misses nothing", "several watch at once"},
	watchDeafToDeletes:       {"watch tells of deletions", "watch misses nothing", "several watch at once"},
	watchDeafToOwners:        {"watch tells of deletions by owner"},
	watchTellsOldVersion:     {"watch tells of swaps", "watch misses nothing"},
	watchTellsDeadVersion:    {"watch tells of deletions", "watch misses nothing"},
	watchTellsTooSoon:        {"watch tells of swaps"},
	watchReadyEarly:          {"watch misses nothing"},
	watchReadyLate:           {"watch is ready first"},
	watchReadyTwice:          {"watch is ready first"},
	watchOverlaps:            {"watch calls one at a time"},
	watchDropsWhenBusy:       {"watch misses nothing"},
	watchKeepsFirst:          {"watch misses nothing"},
	watchAlone:               {"several watch at once", "watch ends with its context"},
	watchEndsAll:             {"several watch at once", "watch ends with its context"},
	watchEndsEarly:           {"watch tells of swaps", "several watch at once"},
	watchEndsWithNil:         {"watch ends with its context"},
	watchDeafToContext:       {"watch ends with its context"},
	watchGoesOn:              {"watch ends with its context"},
	watchFails:               {"watch is ready first", "watch ends with its context"},
}

// build returns the store that has b.
func build(b bug) store.Store {
	switch b {
	case errorsWrapped:
		return wrapping{newPlain(b)}
	case cacheBlind:
		return newCache(b)
	case cacheHonest, cacheInvents, freshIsCached, freshDoesNotFill:
		return freshCache{newCache(b)}
	}
	return newPlain(b)
}

func TestEveryMutantIsRejected(t *testing.T) {
	t.Parallel()
	for b, names := range killers {
		t.Run(string(b), func(t *testing.T) {
			t.Parallel()
			for _, name := range names {
				err := storetest.Judge(t.Context(), name, build(b), 200*time.Millisecond)
				require.Error(t, err, "the law %q does not reject this store", name)
			}
		})
	}
}

func TestEveryLawRejectsSomething(t *testing.T) {
	t.Parallel()
	var used []string
	for _, names := range killers {
		used = append(used, names...)
	}
	for _, name := range storetest.LawNames() {
		require.True(t, slices.Contains(used, name), "no broken store shows what the law %q is for", name)
	}
}

func TestRightStoresPass(t *testing.T) {
	t.Parallel()
	// All at once: most of the time is spent waiting for records to expire.
	var wg sync.WaitGroup
	for _, b := range []bug{
		none, conflictZero, insertOverExpiredExists, lazyPurge, errorsWrapped, clockAhead, clockBehind, cacheHonest,
		watchKeepsLast, watchChatty,
	} {
		for _, name := range storetest.LawNames() {
			wg.Go(func() {
				err := storetest.Judge(t.Context(), name, build(b), 5*time.Second)
				assert.NoError(t, err, "%s: the law %q", b, name)
			})
		}
	}
	wg.Wait()
}

// A store that cannot serve a method as it was made is not judged by it, and does
// not pass for one that was.
func TestStoreThatIsNotSetUpIsSkipped(t *testing.T) {
	t.Parallel()
	skipped := 0
	for _, name := range storetest.LawNames() {
		switch err := storetest.Judge(t.Context(), name, build(watchNotSetUp), 5*time.Second); {
		case errors.Is(err, storetest.ErrNotSetUp):
			require.Contains(t, name, "watch")
			require.ErrorContains(t, err, "shelf 7")
			skipped++
		default:
			require.NoError(t, err, name)
			require.NotContains(t, name, "watch")
		}
	}
	require.Positive(t, skipped)
	storetest.Run(t, func(*testing.T) store.Store { return newPlain(watchNotSetUp) })
}
