//! Objects that programs allocate, and the lists and trees of them.

use super::reasons;

reasons! {
    /// Objects that programs allocate, and the lists and trees of them.
    BadGraph {
        /// Another function gives such an object back.
        NotForDrop { arg: usize } => "arg#{arg} expected for bpf_obj_drop_impl()",
        /// Another function gives such an object back.
        NotForPercpuDrop { arg: usize } => "arg#{arg} expected for bpf_percpu_obj_drop_impl()",
        /// An object that the program allocated is wanted.
        NotAllocated { arg: usize } => "arg#{arg} expected pointer to allocated object",
        /// The program does not own the object.
        NotReferenced => "allocated object must be referenced",
        /// An object that the program allocated is wanted.
        NoReference { arg: usize } => "arg#{arg} is neither owning or non-owning ref",
        /// The object has no count of references.
        NoRefcount { arg: usize } => "arg#{arg} doesn't point to a type with bpf_refcount field",
        /// Lists and trees live in map values and allocated objects.
        NoPlace { arg: usize } => "arg#{arg} expected pointer to map value or allocated object",
        /// The pointer misses the field.
        NotFound { field: &'static str, off: u32 } => "{field} not found at offset={off}",
        /// The lock beside it is not held.
        LockNotHeld { at: i32, field: &'static str } => "bpf_spin_lock at off={at} must be held for {field}",
        /// Another lock is held.
        OtherLock => "held lock and object are not in the same allocation",
        /// The list or tree takes other objects.
        WrongObject { root: &'static str, node: &'static str, node_off: i32, wanted: Box<str>, off: i32, is: Box<str> } => "operation on {root} expects arg#1 {node} at offset={node_off} in struct {wanted}, but arg is at offset={off} in struct {is}",
        /// The object is linked by another node.
        WrongNode { off: i32, node: &'static str, node_off: i32, wanted: Box<str> } => "arg#1 offset={off}, but expected {node} at offset={node_off} in struct {wanted}",
        /// The object must be in sight or owned.
        NodeReference { func: Box<str> } => "{func} can only take non-owning or refcounted bpf_rb_node pointer",
        /// The order of a tree is not the place for it.
        InCallback { func: Box<str> } => "{func} not allowed in rbtree cb",
        /// No such type id.
        TypeIdRange => "local type ID argument must be in range [0, U32_MAX]",
        /// The program has no types.
        NoBtf => "bpf_obj_new/bpf_percpu_obj_new requires prog BTF",
        /// A structure is wanted.
        NoStruct => "bpf_obj_new/bpf_percpu_obj_new type ID argument must be of a struct",
        /// The object is too large for every CPU.
        PercpuSize { size: u32, max: u32 } => "bpf_percpu_obj_new type size ({size}) is greater than {max}",
        /// Only numbers may be in it.
        PercpuScalars => "bpf_percpu_obj_new type ID argument must be of a struct of scalars",
        /// Nothing special may be in it.
        PercpuFields => "bpf_percpu_obj_new type ID argument must not contain special fields",
    }
}
