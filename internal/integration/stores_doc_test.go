package integration_test

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/typedsession/session"
	"github.com/typedsession/session/store"
	"github.com/typedsession/session/store/memory"
)

// document is docs/stores.md, or another page. Tests find its parts by comments, which a reader does
// not see: <!-- name --> before a block of code or a table.
type document string

func storesDoc(t *testing.T) document {
	t.Helper()
	return document(readFile(t, "../../docs/stores.md"))
}

// ownStoreDoc is docs/own-store.md.
func ownStoreDoc(t *testing.T) document {
	t.Helper()
	return document(readFile(t, "../../docs/own-store.md"))
}

func readFile(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	return strings.ReplaceAll(string(text), "\r\n", "\n")
}

// after returns what follows the comment of a name, which is there once.
func (d document) after(t *testing.T, name string) string {
	t.Helper()
	before, text, ok := strings.Cut(string(d), "<!-- "+name+" -->\n")
	require.True(t, ok, "the page has no part %q", name)
	require.NotContains(t, before+text, "<!-- "+name+" -->", name)
	return strings.TrimLeft(text, "\n")
}

// block returns the block of code of a name.
func (d document) block(t *testing.T, name string) string {
	t.Helper()
	m := regexp.MustCompile("(?s)^```[a-z]*\n(.*?)```\n").FindStringSubmatch(d.after(t, name))
	require.NotNil(t, m, "no code behind %q", name)
	return m[1]
}

// table returns the cells of the table of a name, without its head.
func (d document) table(t *testing.T, name string) (rows [][]string) {
	t.Helper()
	for i, line := range strings.Split(d.after(t, name), "\n") {
		if !strings.HasPrefix(line, "|") {
			break
		}
		var cells []string
		for cell := range strings.SplitSeq(strings.Trim(line, "|"), "|") {
			cells = append(cells, strings.TrimSpace(cell))
		}
		if i != 1 { // the line below the head
			rows = append(rows, cells)
		}
	}
	require.Greater(t, len(rows), 1, "no table behind %q", name)
	for _, row := range rows {
		require.Len(t, row, len(rows[0]), "of table %q", name)
	}
	return rows[1:]
}

// head returns the first line of the table of a name.
func (d document) head(t *testing.T, name string) []string {
	t.Helper()
	line, _, _ := strings.Cut(d.after(t, name), "\n")
	return document("<!-- head -->\n"+line+"\n|\n"+line+"\n").table(t, "head")[0]
}

// snippets returns what lies between the markers of the files of a pattern.
func snippets(t *testing.T, pattern string) map[string]string {
	t.Helper()
	files, err := filepath.Glob(pattern)
	require.NoError(t, err)
	all := map[string]string{}
	for _, file := range files {
		text := readFile(t, file)
		for _, m := range regexp.MustCompile(`(?ms)^// begin (\w+)\n(.*?)\n// end$`).FindAllStringSubmatch(text, -1) {
			require.NotContains(t, all, m[1])
			all[m[1]] = strings.TrimRight(m[2], "\n") + "\n"
			for _, imported := range regexp.MustCompile(`(?m)^// import (?:_ )?(".+")$`).FindAllStringSubmatch(m[2], -1) {
				require.Contains(t, text[:strings.Index(text, m[0])], imported[1], "what the comment in %s says", file)
			}
		}
	}
	return all
}

// What the document shows is what TestSetup runs.
func TestStoresDocSnippets(t *testing.T) {
	t.Parallel()
	doc, all := storesDoc(t), snippets(t, "setup_*_test.go")
	require.GreaterOrEqual(t, len(all), 6)
	for name, source := range all {
		require.Equal(t, source, doc.block(t, "setup "+name), name)
	}
	require.Equal(t, len(all), strings.Count(string(doc), "<!-- setup "), "each is from a test")
}

// The store of one's own is the program in examples, and its test.
func TestStoresDocOwnStore(t *testing.T) {
	t.Parallel()
	doc := ownStoreDoc(t)
	for name, most := range map[string]int{"store.go": 120, "store_test.go": 40} {
		_, code, ok := strings.Cut(readFile(t, "../../examples/ownstore/"+name), "\n)\n\n") // behind the imports
		require.True(t, ok, name)
		require.Equal(t, code, doc.block(t, "ownstore "+name), name)
		require.LessOrEqual(t, strings.Count(code, "\n"), most, name)
	}
}

// promise finds the numbered promises of the library.
var promise = regexp.MustCompile(`(?m)^// {1,2}(\d+)\. (.*)$`)

// Each of the ten promises has an answer for each store, and each note is explained.
func TestStoresDocPromises(t *testing.T) {
	t.Parallel()
	doc := storesDoc(t)
	numbered := promise.FindAllStringSubmatch(readFile(t, "../../doc.go"), -1)
	require.Len(t, numbered, 10)
	columns := doc.head(t, "promises")[1:]
	stores := strings.Split(strings.Join(columns, ", "), ", ") // several may be in one column
	for _, row := range doc.table(t, "stores") {
		require.Contains(t, stores, row[0], "a store without promises")
	}
	require.Len(t, doc.table(t, "stores"), len(stores))

	rows := doc.table(t, "promises")
	require.Len(t, rows, len(numbered))
	notes := map[string]bool{}
	for i, row := range rows {
		require.True(t, strings.HasPrefix(row[0], fmt.Sprintf("%d. ", i+1)), row[0])
		for j, cell := range row[1:] {
			m := regexp.MustCompile(`^(?:kept|kept in one process|not)(?: if ([A-Z](?:, [A-Z])*))?$`).FindStringSubmatch(cell)
			require.NotNil(t, m, "promise %d, %s: %q", i+1, columns[j], cell)
			for note := range strings.SplitSeq(m[1], ", ") {
				notes[note] = true
			}
		}
	}
	delete(notes, "")
	require.NotEmpty(t, notes)
	for note := range notes {
		require.Contains(t, string(doc), "\n- **"+note+"** ", "a note without an explanation")
	}
}

// What is configurable has the default that the document says.
func TestStoresDocLimits(t *testing.T) {
	t.Parallel()
	want := map[string]string{
		"`Config.MaxBytes`":     fmt.Sprintf("%d MiB", session.DefaultMaxBytes>>20),
		"`Config.MaxKeys`":      strconv.Itoa(session.DefaultMaxKeys),
		"`Config.MaxDepth`":     strconv.Itoa(session.DefaultMaxDepth),
		"`memory.WithMaxBytes`": fmt.Sprintf("%d MiB", memory.DefaultMaxBytes>>20),
	}
	for _, row := range storesDoc(t).table(t, "limits") {
		if limit, ok := want[row[2]]; ok {
			require.Equal(t, limit, row[1], row[2])
			delete(want, row[2])
		}
	}
	require.Empty(t, want)
}

// The law that is shown as broken is one of storetest's.
func TestStoresDocLaw(t *testing.T) {
	t.Parallel()
	lines := strings.Split(ownStoreDoc(t).block(t, "law"), "\n")
	laws := readFile(t, "../../store/storetest/swap.go")
	name := strings.TrimPrefix(lines[0], "--- FAIL: TestStore/laws/")
	require.Contains(t, laws, `"`+strings.ReplaceAll(name, "_", " ")+`"`)
	require.Contains(t, laws, `"`+strings.TrimSpace(lines[2])+`"`)
	answer, _, ok := strings.Cut(strings.TrimSpace(lines[4]), store.ErrConflict.Error())
	require.True(t, ok)
	require.Contains(t, laws, strings.TrimSpace(answer))
}

// Links to files lead somewhere, and those to headings to one of this page.
func TestStoresDocLinks(t *testing.T) {
	t.Parallel()
	require.Greater(t, followLinks(t, storesDoc(t)), 10)
	require.Positive(t, followLinks(t, ownStoreDoc(t)))
}

// followLinks returns how many there are.
func followLinks(t *testing.T, doc document) (followed int) {
	t.Helper()
	text := regexp.MustCompile("(?s)```.*?```").ReplaceAllString(string(doc), "")
	anchors := map[string]bool{}
	for _, heading := range regexp.MustCompile(`(?m)^#+ (.+)$`).FindAllStringSubmatch(text, -1) {
		anchors["#"+strings.ReplaceAll(strings.ToLower(heading[1]), " ", "-")] = true
	}
	for _, link := range regexp.MustCompile(`\]\(([^)]+)\)`).FindAllStringSubmatch(text, -1) {
		switch target := link[1]; {
		case strings.Contains(target, "://"):
			continue
		case strings.HasPrefix(target, "#"):
			require.Contains(t, anchors, target)
		default:
			_, err := os.Stat(filepath.Join("../../docs", target))
			require.NoError(t, err)
		}
		followed++
	}
	return followed
}
