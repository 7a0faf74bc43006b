package mongostore

// For the fuzzing of what parses documents, and the bound of what is stored.
var (
	Decode       = decode
	Document     = document
	DocumentSize = documentSize
)

const MaxDocument = maxDocument
