//! Enumerations of Linux's UAPI. Made by `cargo xtask generate` from facts/uapi.json.

macro_rules! uapi_enum {
    ($(#[$doc:meta])* $name:ident { $($variant:ident = $value:literal, $text:literal;)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        #[repr(u32)]
        #[allow(missing_docs, reason = "the names are Linux's")]
        pub enum $name { $($variant = $value,)* }

        impl $name {
            /// Every value, in Linux's order.
            pub const ALL: &[$name] = &[$($name::$variant,)*];

            /// The value with this number.
            pub const fn from_raw(raw: u32) -> Option<$name> {
                match raw { $($value => Some($name::$variant),)* _ => None }
            }

            /// Linux's number.
            pub const fn raw(self) -> u32 { self as u32 }

            /// Linux's name.
            pub const fn name(self) -> &'static str {
                match self { $($name::$variant => $text,)* }
            }
        }
    };
}

uapi_enum! {
    /// A command of bpf(2).
    Cmd {
        MapCreate = 0, "BPF_MAP_CREATE";
        MapLookupElem = 1, "BPF_MAP_LOOKUP_ELEM";
        MapUpdateElem = 2, "BPF_MAP_UPDATE_ELEM";
        MapDeleteElem = 3, "BPF_MAP_DELETE_ELEM";
        MapGetNextKey = 4, "BPF_MAP_GET_NEXT_KEY";
        ProgLoad = 5, "BPF_PROG_LOAD";
        ObjPin = 6, "BPF_OBJ_PIN";
        ObjGet = 7, "BPF_OBJ_GET";
        ProgAttach = 8, "BPF_PROG_ATTACH";
        ProgDetach = 9, "BPF_PROG_DETACH";
        ProgTestRun = 10, "BPF_PROG_TEST_RUN";
        ProgGetNextId = 11, "BPF_PROG_GET_NEXT_ID";
        MapGetNextId = 12, "BPF_MAP_GET_NEXT_ID";
        ProgGetFdById = 13, "BPF_PROG_GET_FD_BY_ID";
        MapGetFdById = 14, "BPF_MAP_GET_FD_BY_ID";
        ObjGetInfoByFd = 15, "BPF_OBJ_GET_INFO_BY_FD";
        ProgQuery = 16, "BPF_PROG_QUERY";
        RawTracepointOpen = 17, "BPF_RAW_TRACEPOINT_OPEN";
        BtfLoad = 18, "BPF_BTF_LOAD";
        BtfGetFdById = 19, "BPF_BTF_GET_FD_BY_ID";
        TaskFdQuery = 20, "BPF_TASK_FD_QUERY";
        MapLookupAndDeleteElem = 21, "BPF_MAP_LOOKUP_AND_DELETE_ELEM";
        MapFreeze = 22, "BPF_MAP_FREEZE";
        BtfGetNextId = 23, "BPF_BTF_GET_NEXT_ID";
        MapLookupBatch = 24, "BPF_MAP_LOOKUP_BATCH";
        MapLookupAndDeleteBatch = 25, "BPF_MAP_LOOKUP_AND_DELETE_BATCH";
        MapUpdateBatch = 26, "BPF_MAP_UPDATE_BATCH";
        MapDeleteBatch = 27, "BPF_MAP_DELETE_BATCH";
        LinkCreate = 28, "BPF_LINK_CREATE";
        LinkUpdate = 29, "BPF_LINK_UPDATE";
        LinkGetFdById = 30, "BPF_LINK_GET_FD_BY_ID";
        LinkGetNextId = 31, "BPF_LINK_GET_NEXT_ID";
        EnableStats = 32, "BPF_ENABLE_STATS";
        IterCreate = 33, "BPF_ITER_CREATE";
        LinkDetach = 34, "BPF_LINK_DETACH";
        ProgBindMap = 35, "BPF_PROG_BIND_MAP";
        TokenCreate = 36, "BPF_TOKEN_CREATE";
        ProgStreamReadByFd = 37, "BPF_PROG_STREAM_READ_BY_FD";
    }
}

uapi_enum! {
    /// A type of map.
    MapType {
        Hash = 1, "BPF_MAP_TYPE_HASH";
        Array = 2, "BPF_MAP_TYPE_ARRAY";
        ProgArray = 3, "BPF_MAP_TYPE_PROG_ARRAY";
        PerfEventArray = 4, "BPF_MAP_TYPE_PERF_EVENT_ARRAY";
        PercpuHash = 5, "BPF_MAP_TYPE_PERCPU_HASH";
        PercpuArray = 6, "BPF_MAP_TYPE_PERCPU_ARRAY";
        StackTrace = 7, "BPF_MAP_TYPE_STACK_TRACE";
        CgroupArray = 8, "BPF_MAP_TYPE_CGROUP_ARRAY";
        LruHash = 9, "BPF_MAP_TYPE_LRU_HASH";
        LruPercpuHash = 10, "BPF_MAP_TYPE_LRU_PERCPU_HASH";
        LpmTrie = 11, "BPF_MAP_TYPE_LPM_TRIE";
        ArrayOfMaps = 12, "BPF_MAP_TYPE_ARRAY_OF_MAPS";
        HashOfMaps = 13, "BPF_MAP_TYPE_HASH_OF_MAPS";
        Devmap = 14, "BPF_MAP_TYPE_DEVMAP";
        Sockmap = 15, "BPF_MAP_TYPE_SOCKMAP";
        Cpumap = 16, "BPF_MAP_TYPE_CPUMAP";
        Xskmap = 17, "BPF_MAP_TYPE_XSKMAP";
        Sockhash = 18, "BPF_MAP_TYPE_SOCKHASH";
        CgroupStorage = 19, "BPF_MAP_TYPE_CGROUP_STORAGE";
        ReuseportSockarray = 20, "BPF_MAP_TYPE_REUSEPORT_SOCKARRAY";
        PercpuCgroupStorage = 21, "BPF_MAP_TYPE_PERCPU_CGROUP_STORAGE";
        Queue = 22, "BPF_MAP_TYPE_QUEUE";
        Stack = 23, "BPF_MAP_TYPE_STACK";
        SkStorage = 24, "BPF_MAP_TYPE_SK_STORAGE";
        DevmapHash = 25, "BPF_MAP_TYPE_DEVMAP_HASH";
        StructOps = 26, "BPF_MAP_TYPE_STRUCT_OPS";
        Ringbuf = 27, "BPF_MAP_TYPE_RINGBUF";
        InodeStorage = 28, "BPF_MAP_TYPE_INODE_STORAGE";
        TaskStorage = 29, "BPF_MAP_TYPE_TASK_STORAGE";
        BloomFilter = 30, "BPF_MAP_TYPE_BLOOM_FILTER";
        UserRingbuf = 31, "BPF_MAP_TYPE_USER_RINGBUF";
        CgrpStorage = 32, "BPF_MAP_TYPE_CGRP_STORAGE";
        Arena = 33, "BPF_MAP_TYPE_ARENA";
    }
}

uapi_enum! {
    /// A type of program.
    ProgType {
        SocketFilter = 1, "BPF_PROG_TYPE_SOCKET_FILTER";
        Kprobe = 2, "BPF_PROG_TYPE_KPROBE";
        SchedCls = 3, "BPF_PROG_TYPE_SCHED_CLS";
        SchedAct = 4, "BPF_PROG_TYPE_SCHED_ACT";
        Tracepoint = 5, "BPF_PROG_TYPE_TRACEPOINT";
        Xdp = 6, "BPF_PROG_TYPE_XDP";
        PerfEvent = 7, "BPF_PROG_TYPE_PERF_EVENT";
        CgroupSkb = 8, "BPF_PROG_TYPE_CGROUP_SKB";
        CgroupSock = 9, "BPF_PROG_TYPE_CGROUP_SOCK";
        LwtIn = 10, "BPF_PROG_TYPE_LWT_IN";
        LwtOut = 11, "BPF_PROG_TYPE_LWT_OUT";
        LwtXmit = 12, "BPF_PROG_TYPE_LWT_XMIT";
        SockOps = 13, "BPF_PROG_TYPE_SOCK_OPS";
        SkSkb = 14, "BPF_PROG_TYPE_SK_SKB";
        CgroupDevice = 15, "BPF_PROG_TYPE_CGROUP_DEVICE";
        SkMsg = 16, "BPF_PROG_TYPE_SK_MSG";
        RawTracepoint = 17, "BPF_PROG_TYPE_RAW_TRACEPOINT";
        CgroupSockAddr = 18, "BPF_PROG_TYPE_CGROUP_SOCK_ADDR";
        LwtSeg6local = 19, "BPF_PROG_TYPE_LWT_SEG6LOCAL";
        LircMode2 = 20, "BPF_PROG_TYPE_LIRC_MODE2";
        SkReuseport = 21, "BPF_PROG_TYPE_SK_REUSEPORT";
        FlowDissector = 22, "BPF_PROG_TYPE_FLOW_DISSECTOR";
        CgroupSysctl = 23, "BPF_PROG_TYPE_CGROUP_SYSCTL";
        RawTracepointWritable = 24, "BPF_PROG_TYPE_RAW_TRACEPOINT_WRITABLE";
        CgroupSockopt = 25, "BPF_PROG_TYPE_CGROUP_SOCKOPT";
        Tracing = 26, "BPF_PROG_TYPE_TRACING";
        StructOps = 27, "BPF_PROG_TYPE_STRUCT_OPS";
        Ext = 28, "BPF_PROG_TYPE_EXT";
        Lsm = 29, "BPF_PROG_TYPE_LSM";
        SkLookup = 30, "BPF_PROG_TYPE_SK_LOOKUP";
        Syscall = 31, "BPF_PROG_TYPE_SYSCALL";
        Netfilter = 32, "BPF_PROG_TYPE_NETFILTER";
    }
}

uapi_enum! {
    /// Where a program attaches.
    AttachType {
        CgroupInetIngress = 0, "BPF_CGROUP_INET_INGRESS";
        CgroupInetEgress = 1, "BPF_CGROUP_INET_EGRESS";
        CgroupInetSockCreate = 2, "BPF_CGROUP_INET_SOCK_CREATE";
        CgroupSockOps = 3, "BPF_CGROUP_SOCK_OPS";
        SkSkbStreamParser = 4, "BPF_SK_SKB_STREAM_PARSER";
        SkSkbStreamVerdict = 5, "BPF_SK_SKB_STREAM_VERDICT";
        CgroupDevice = 6, "BPF_CGROUP_DEVICE";
        SkMsgVerdict = 7, "BPF_SK_MSG_VERDICT";
        CgroupInet4Bind = 8, "BPF_CGROUP_INET4_BIND";
        CgroupInet6Bind = 9, "BPF_CGROUP_INET6_BIND";
        CgroupInet4Connect = 10, "BPF_CGROUP_INET4_CONNECT";
        CgroupInet6Connect = 11, "BPF_CGROUP_INET6_CONNECT";
        CgroupInet4PostBind = 12, "BPF_CGROUP_INET4_POST_BIND";
        CgroupInet6PostBind = 13, "BPF_CGROUP_INET6_POST_BIND";
        CgroupUdp4Sendmsg = 14, "BPF_CGROUP_UDP4_SENDMSG";
        CgroupUdp6Sendmsg = 15, "BPF_CGROUP_UDP6_SENDMSG";
        LircMode2 = 16, "BPF_LIRC_MODE2";
        FlowDissector = 17, "BPF_FLOW_DISSECTOR";
        CgroupSysctl = 18, "BPF_CGROUP_SYSCTL";
        CgroupUdp4Recvmsg = 19, "BPF_CGROUP_UDP4_RECVMSG";
        CgroupUdp6Recvmsg = 20, "BPF_CGROUP_UDP6_RECVMSG";
        CgroupGetsockopt = 21, "BPF_CGROUP_GETSOCKOPT";
        CgroupSetsockopt = 22, "BPF_CGROUP_SETSOCKOPT";
        TraceRawTp = 23, "BPF_TRACE_RAW_TP";
        TraceFentry = 24, "BPF_TRACE_FENTRY";
        TraceFexit = 25, "BPF_TRACE_FEXIT";
        ModifyReturn = 26, "BPF_MODIFY_RETURN";
        LsmMac = 27, "BPF_LSM_MAC";
        TraceIter = 28, "BPF_TRACE_ITER";
        CgroupInet4Getpeername = 29, "BPF_CGROUP_INET4_GETPEERNAME";
        CgroupInet6Getpeername = 30, "BPF_CGROUP_INET6_GETPEERNAME";
        CgroupInet4Getsockname = 31, "BPF_CGROUP_INET4_GETSOCKNAME";
        CgroupInet6Getsockname = 32, "BPF_CGROUP_INET6_GETSOCKNAME";
        XdpDevmap = 33, "BPF_XDP_DEVMAP";
        CgroupInetSockRelease = 34, "BPF_CGROUP_INET_SOCK_RELEASE";
        XdpCpumap = 35, "BPF_XDP_CPUMAP";
        SkLookup = 36, "BPF_SK_LOOKUP";
        Xdp = 37, "BPF_XDP";
        SkSkbVerdict = 38, "BPF_SK_SKB_VERDICT";
        SkReuseportSelect = 39, "BPF_SK_REUSEPORT_SELECT";
        SkReuseportSelectOrMigrate = 40, "BPF_SK_REUSEPORT_SELECT_OR_MIGRATE";
        PerfEvent = 41, "BPF_PERF_EVENT";
        TraceKprobeMulti = 42, "BPF_TRACE_KPROBE_MULTI";
        LsmCgroup = 43, "BPF_LSM_CGROUP";
        StructOps = 44, "BPF_STRUCT_OPS";
        Netfilter = 45, "BPF_NETFILTER";
        TcxIngress = 46, "BPF_TCX_INGRESS";
        TcxEgress = 47, "BPF_TCX_EGRESS";
        TraceUprobeMulti = 48, "BPF_TRACE_UPROBE_MULTI";
        CgroupUnixConnect = 49, "BPF_CGROUP_UNIX_CONNECT";
        CgroupUnixSendmsg = 50, "BPF_CGROUP_UNIX_SENDMSG";
        CgroupUnixRecvmsg = 51, "BPF_CGROUP_UNIX_RECVMSG";
        CgroupUnixGetpeername = 52, "BPF_CGROUP_UNIX_GETPEERNAME";
        CgroupUnixGetsockname = 53, "BPF_CGROUP_UNIX_GETSOCKNAME";
        NetkitPrimary = 54, "BPF_NETKIT_PRIMARY";
        NetkitPeer = 55, "BPF_NETKIT_PEER";
        TraceKprobeSession = 56, "BPF_TRACE_KPROBE_SESSION";
        TraceUprobeSession = 57, "BPF_TRACE_UPROBE_SESSION";
    }
}

uapi_enum! {
    /// A type of link.
    LinkType {
        RawTracepoint = 1, "BPF_LINK_TYPE_RAW_TRACEPOINT";
        Tracing = 2, "BPF_LINK_TYPE_TRACING";
        Cgroup = 3, "BPF_LINK_TYPE_CGROUP";
        Iter = 4, "BPF_LINK_TYPE_ITER";
        Netns = 5, "BPF_LINK_TYPE_NETNS";
        Xdp = 6, "BPF_LINK_TYPE_XDP";
        PerfEvent = 7, "BPF_LINK_TYPE_PERF_EVENT";
        KprobeMulti = 8, "BPF_LINK_TYPE_KPROBE_MULTI";
        StructOps = 9, "BPF_LINK_TYPE_STRUCT_OPS";
        Netfilter = 10, "BPF_LINK_TYPE_NETFILTER";
        Tcx = 11, "BPF_LINK_TYPE_TCX";
        UprobeMulti = 12, "BPF_LINK_TYPE_UPROBE_MULTI";
        Netkit = 13, "BPF_LINK_TYPE_NETKIT";
        Sockmap = 14, "BPF_LINK_TYPE_SOCKMAP";
    }
}

uapi_enum! {
    /// Verdict of an XDP program.
    XdpAction {
        Aborted = 0, "XDP_ABORTED";
        Drop = 1, "XDP_DROP";
        Pass = 2, "XDP_PASS";
        Tx = 3, "XDP_TX";
        Redirect = 4, "XDP_REDIRECT";
    }
}
