package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/mem"
)

// grpcLink is gRPC-Go with its default windows, buffers and limits. Messages
// are plain bytes, which saves it protobuf. Over tls the connection is that of
// crypto/tls, handed to gRPC ready-made: records cost it what they cost others.
type grpcLink struct {
	conn   *grpc.ClientConn
	stream grpc.ClientStream // one for all messages; nil if each is a unary call
	ended  chan struct{}     // closed when a stream of one-way messages has ended; nil if there is none
	why    error             // the stream has ended; set before ended is closed
}

func grpcStreamPeer() *peer { return grpcPeer("gRPC stream", true) }

func grpcUnaryPeer() *peer {
	p := grpcPeer("gRPC unary", false)
	p.only = func(s shape) bool { return s.Calls }
	return p
}

func grpcPeer(label string, stream bool) *peer {
	return &peer{
		label: label, networks: []string{"unix", "tcp", "tls"}, serve: serveGRPC,
		dial: func(ctx context.Context, at place, address string) (carrier, error) {
			conn, err := grpc.NewClient("passthrough:///"+address,
				grpc.WithTransportCredentials(insecure.NewCredentials()),
				grpc.WithDefaultCallOptions(grpc.ForceCodecV2(rawCodec{})),
				grpc.WithContextDialer(func(ctx context.Context, address string) (net.Conn, error) {
					return dial(ctx, at.Network, address)
				}))
			if err != nil {
				return nil, err
			}
			g := &grpcLink{conn: conn}
			if !stream {
				return g, nil
			}
			return g, g.begin(ctx, at.Calls)
		},
	}
}

// begin opens the stream. ctx bounds its life.
func (g *grpcLink) begin(ctx context.Context, calls bool) (err error) {
	both := &grpc.StreamDesc{ClientStreams: true, ServerStreams: true}
	if calls {
		g.stream, err = g.conn.NewStream(ctx, both, grpcEchoStream)
		return err
	}
	if g.stream, err = g.conn.NewStream(ctx, both, grpcPutStream); err != nil {
		return err
	}
	g.ended = make(chan struct{})
	go func() { // close waits for it
		defer close(g.ended)
		g.why = g.stream.RecvMsg(new([]byte)) // nothing comes but the end
	}()
	return nil
}

func (g *grpcLink) send(_ context.Context, body []byte) error {
	err := g.stream.SendMsg(&body)
	if errors.Is(err, io.EOF) { // RecvMsg knows why
		<-g.ended
		err = g.why
	}
	return err
}

// over returns why nothing can be sent any more, as soon as that is known.
func (g *grpcLink) over() error {
	select {
	case <-g.ended:
		return g.why
	default:
		return nil
	}
}

func (g *grpcLink) flush(context.Context) error { return nil } // the transport writes by itself

func (g *grpcLink) call(ctx context.Context, body []byte) error {
	var back []byte
	if g.stream == nil {
		return g.conn.Invoke(ctx, grpcEcho, &body, &back)
	}
	if err := g.stream.SendMsg(&body); err != nil {
		return err
	}
	return g.stream.RecvMsg(&back)
}

func (g *grpcLink) close() error {
	err := g.conn.Close()
	if g.ended != nil {
		<-g.ended
	}
	return err
}

// Methods of the service.
const (
	grpcEcho       = "/bench/Echo"
	grpcEchoStream = "/bench/EchoStream"
	grpcPutStream  = "/bench/PutStream"
)

func serveGRPC(at place, m *meter) (string, error) {
	l, err := listen(at)
	if err != nil {
		return "", err
	}
	s := grpc.NewServer(grpc.ForceServerCodecV2(rawCodec{}))
	s.RegisterService(&grpc.ServiceDesc{
		ServiceName: "bench", HandlerType: (*any)(nil),
		Methods: []grpc.MethodDesc{{MethodName: "Echo", Handler: echoGRPC}},
		Streams: []grpc.StreamDesc{
			{StreamName: "EchoStream", ClientStreams: true, ServerStreams: true, Handler: echoStreamGRPC},
			{StreamName: "PutStream", ClientStreams: true, Handler: func(_ any, s grpc.ServerStream) error { return putGRPC(s, m) }},
		},
	}, m)
	go s.Serve(l) // ends with the process
	return l.Addr().String(), nil
}

func echoGRPC(_ any, _ context.Context, decode func(any) error, _ grpc.UnaryServerInterceptor) (any, error) {
	var body []byte
	if err := decode(&body); err != nil {
		return nil, err
	}
	return &body, nil
}

func echoStreamGRPC(_ any, s grpc.ServerStream) error {
	for {
		var body []byte
		if err := s.RecvMsg(&body); err != nil {
			return err
		}
		if err := s.SendMsg(&body); err != nil {
			return err
		}
	}
}

func putGRPC(s grpc.ServerStream, m *meter) error {
	for {
		var body []byte
		if err := s.RecvMsg(&body); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		m.handle(body)
	}
}

// rawCodec takes *[]byte as a message: the bytes are the message.
type rawCodec struct{}

func (rawCodec) Name() string { return "raw" }

func (rawCodec) Marshal(v any) (mem.BufferSlice, error) {
	b, ok := v.(*[]byte)
	if !ok {
		return nil, fmt.Errorf("raw codec: %T is not a *[]byte", v)
	}
	return mem.BufferSlice{mem.SliceBuffer(*b)}, nil
}

func (rawCodec) Unmarshal(data mem.BufferSlice, v any) error {
	b, ok := v.(*[]byte)
	if !ok {
		return fmt.Errorf("raw codec: %T is not a *[]byte", v)
	}
	*b = data.Materialize()
	return nil
}
