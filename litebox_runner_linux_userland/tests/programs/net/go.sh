# go's net/http: a server with and without TLS, and many clients of it at once.
export HOME=$PWD GOCACHE=$PWD/cache GOFLAGS=-mod=mod GO111MODULE=off GOTOOLCHAIN=local
cat >it.go <<'GO'
package main

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
)

func ask(client *http.Client, url, body string) string {
	response, err := client.Post(url, "text/plain", strings.NewReader(body))
	if err != nil {
		return err.Error()
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	return fmt.Sprint(response.Proto, " ", response.StatusCode, " ", string(text), " ", err)
}

func main() {
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n, err := io.Copy(io.Discard, r.Body)
		fmt.Fprint(w, r.URL.Path, " ", n, " ", err)
	})
	plain := httptest.NewServer(handler)
	secure := httptest.NewUnstartedServer(handler)
	secure.EnableHTTP2 = true
	secure.StartTLS()
	for _, server := range []*httptest.Server{plain, secure} {
		fmt.Println(ask(server.Client(), server.URL+"/small", "abc"))
		fmt.Println(ask(server.Client(), server.URL+"/large", strings.Repeat("x", 1<<20)))
		var group sync.WaitGroup
		var lock sync.Mutex
		good := 0
		for i := 0; i < 50; i++ {
			group.Add(1)
			go func() {
				defer group.Done()
				if strings.HasSuffix(ask(server.Client(), server.URL+"/many", "1234"), "/many 4 <nil> <nil>") {
					lock.Lock()
					good++
					lock.Unlock()
				}
			}()
		}
		group.Wait()
		fmt.Println(good)
		server.Close()
	}
	_, err := net.Dial("tcp", "127.0.0.1:1")
	fmt.Println(err)
}
GO
go build -o it it.go && ./it
