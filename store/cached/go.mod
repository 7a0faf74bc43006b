module github.com/typedsession/session/store/cached

go 1.26.0

replace github.com/typedsession/session => ../..

require (
	github.com/maypok86/otter/v2 v2.4.0
	github.com/stretchr/testify v1.12.1
	github.com/typedsession/session v0.0.0
)

require go.yaml.in/yaml/v3 v3.0.5 // indirect
