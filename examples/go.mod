module github.com/typedsession/session/examples

go 1.26.0

replace github.com/typedsession/session => ../

require github.com/typedsession/session v0.0.0

require github.com/goccy/go-json v0.12.0 // indirect
