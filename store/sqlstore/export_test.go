package sqlstore

import "strings"

var (
	ParseChange = parseChange
	ChannelOf   = channelOf
)

// NotifyBody is the function of the triggers of a table.
func NotifyBody(schema, table string) string {
	return strings.ReplaceAll(notifyBody, "{channel}", channelOf(schema, table))
}
