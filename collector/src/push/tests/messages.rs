//! Messages as clients encode them, made by another encoder than ours.

/// Loki's messages as its clients encode them.
pub(super) mod loki {
    #[derive(Clone, PartialEq, prost::Message)]
    pub(in super::super) struct PushRequest {
        #[prost(message, repeated, tag = "1")]
        pub(in super::super) streams: Vec<Stream>,
    }
    #[derive(Clone, PartialEq, prost::Message)]
    pub(in super::super) struct Stream {
        #[prost(string, tag = "1")]
        pub(in super::super) labels: String,
        #[prost(message, repeated, tag = "2")]
        pub(in super::super) entries: Vec<Entry>,
        #[prost(uint64, tag = "3")]
        pub(in super::super) hash: u64,
    }
    #[derive(Clone, PartialEq, prost::Message)]
    pub(in super::super) struct Entry {
        #[prost(message, optional, tag = "1")]
        pub(in super::super) timestamp: Option<Timestamp>,
        /// Text by the definition, but clients send whatever was logged.
        #[prost(bytes = "vec", tag = "2")]
        pub(in super::super) line: Vec<u8>,
        #[prost(message, repeated, tag = "3")]
        pub(in super::super) metadata: Vec<Pair>,
    }
    #[derive(Clone, Copy, PartialEq, prost::Message)]
    pub(in super::super) struct Timestamp {
        #[prost(int64, tag = "1")]
        pub(in super::super) seconds: i64,
        #[prost(int32, tag = "2")]
        pub(in super::super) nanos: i32,
    }
    #[derive(Clone, PartialEq, prost::Message)]
    pub(in super::super) struct Pair {
        #[prost(string, tag = "1")]
        pub(in super::super) name: String,
        #[prost(string, tag = "2")]
        pub(in super::super) value: String,
    }
}
/// OTLP's messages as its clients encode them, as far as this test needs them.
pub(super) mod otlp {
    #[derive(Clone, PartialEq, prost::Message)]
    pub(in super::super) struct Export {
        #[prost(message, repeated, tag = "1")]
        pub(in super::super) resource_logs: Vec<ResourceLogs>,
    }
    #[derive(Clone, PartialEq, prost::Message)]
    pub(in super::super) struct ResourceLogs {
        #[prost(message, optional, tag = "1")]
        pub(in super::super) resource: Option<Resource>,
        #[prost(message, repeated, tag = "2")]
        pub(in super::super) scope_logs: Vec<ScopeLogs>,
    }
    #[derive(Clone, PartialEq, prost::Message)]
    pub(in super::super) struct Resource {
        #[prost(message, repeated, tag = "1")]
        pub(in super::super) attributes: Vec<KeyValue>,
    }
    #[derive(Clone, PartialEq, prost::Message)]
    pub(in super::super) struct ScopeLogs {
        #[prost(message, repeated, tag = "2")]
        pub(in super::super) log_records: Vec<Record>,
    }
    #[derive(Clone, PartialEq, prost::Message)]
    pub(in super::super) struct Record {
        #[prost(fixed64, tag = "1")]
        pub(in super::super) time_unix_nano: u64,
        #[prost(int32, tag = "2")]
        pub(in super::super) severity_number: i32,
        #[prost(message, optional, tag = "5")]
        pub(in super::super) body: Option<AnyValue>,
        #[prost(message, repeated, tag = "6")]
        pub(in super::super) attributes: Vec<KeyValue>,
        #[prost(bytes = "vec", tag = "9")]
        pub(in super::super) trace_id: Vec<u8>,
    }
    #[derive(Clone, PartialEq, prost::Message)]
    pub(in super::super) struct KeyValue {
        #[prost(string, tag = "1")]
        pub(in super::super) key: String,
        #[prost(message, optional, tag = "2")]
        pub(in super::super) value: Option<AnyValue>,
    }
    #[derive(Clone, PartialEq, prost::Message)]
    pub(in super::super) struct AnyValue {
        #[prost(oneof = "Any", tags = "1, 3, 5, 6")]
        pub(in super::super) value: Option<Any>,
    }
    #[derive(Clone, PartialEq, prost::Message)]
    pub(in super::super) struct List {
        #[prost(message, repeated, tag = "1")]
        pub(in super::super) values: Vec<AnyValue>,
    }
    #[derive(Clone, PartialEq, prost::Message)]
    pub(in super::super) struct Map {
        #[prost(message, repeated, tag = "1")]
        pub(in super::super) values: Vec<KeyValue>,
    }
    #[derive(Clone, PartialEq, prost::Oneof)]
    pub(in super::super) enum Any {
        #[prost(string, tag = "1")]
        Text(String),
        #[prost(int64, tag = "3")]
        Int(i64),
        #[prost(message, tag = "5")]
        List(List),
        #[prost(message, tag = "6")]
        Map(Map),
    }
}
