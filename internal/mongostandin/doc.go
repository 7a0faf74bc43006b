// Command mongostandin serves enough of MongoDB's protocol for the tests of
// mongostore, where no MongoDB can be had: FerretDB over SQLite, behind a proxy.
//
//	mongostandin -dir DIR [-listen 127.0.0.1:27017]
//
// It keeps its data in DIR, prints a connection string when it serves, and ends
// on SIGINT, on SIGTERM, and when the process that started it has ended.
//
// The proxy makes up for two differences. FerretDB's updates are not atomic: two
// at the same time can both match what only one of them may replace. So the proxy
// passes on one command at a time, over all connections. And FerretDB refuses
// indexes that let documents expire and indexes on a part of a collection, so the
// proxy makes ordinary ones of them: nothing expires by itself.
//
// Further differences stay. It ignores read and write concerns, takes documents
// above 16 MiB, is no replica set and has neither transactions nor change streams,
// updates by pipelines or $expr. The driver does not repeat writes against it.
package main
