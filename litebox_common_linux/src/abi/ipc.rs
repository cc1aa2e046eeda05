//! Interprocess communication: sysvipc(7), mq_overview(7).

use super::layout::structure;
use super::named;

named! {
    /// shmget(2), semget(2), msgget(2); the low bits are permissions
    flags IpcGetFlags(i32) { IPC_CREAT = 0o1000, IPC_EXCL = 0o2000, SHM_HUGETLB = 0o4000, SHM_NORESERVE = 0o10_000 }
    /// shmat(2)
    flags ShmAttachFlags(i32) { SHM_RDONLY = 0o10_000, SHM_RND = 0o20_000, SHM_REMAP = 0o40_000, SHM_EXEC = 0o100_000 }
    /// msgsnd(2), msgrcv(2)
    flags MsgFlags(i32) { IPC_NOWAIT = 0o4000, MSG_NOERROR = 0o10_000, MSG_EXCEPT = 0o20_000, MSG_COPY = 0o40_000 }
}

structure! {
    /// `struct ipc64_perm`: who may do what with an object
    IpcPerm [IpcPermX86_64 IpcPermX86] Opaque {
        /// The key it is found by.
        key: i32 = i32, i32;
        /// Its user.
        uid: u32 = u32, u32;
        /// Its group.
        gid: u32 = u32, u32;
        /// The user who made it.
        creator_uid: u32 = u32, u32;
        /// The group of that user.
        creator_gid: u32 = u32, u32;
        /// Permissions and SHM_ flags.
        mode: u32 = u32, u32;
        /// How often its place was used.
        sequence: u32 = u16, u16;
        /// Behind the fields.
        tail: () = [u8; 22], [u8; 10];
    }
    /// `struct sembuf`
    SemBuf [SemBufX86_64 SemBufX86] Opaque {
        /// Which member.
        member: u16 = u16, u16;
        /// What is added; 0: wait until it is 0.
        change: i16 = i16, i16;
        /// IPC_NOWAIT, SEM_UNDO.
        flags: i16 = i16, i16;
    }
    /// `struct semid64_ds`; of 32-bit programs the upper half of each time stands behind the lower
    SemIdDs [SemIdDsX86_64 SemIdDsX86] Opaque {
        /// Who may do what.
        perm: IpcPerm = IpcPermX86_64, IpcPermX86;
        /// Seconds of the last operation.
        operation_time: u64 = u64, u64;
        /// Between the fields.
        padding: () = [u8; 8], [u8; 0];
        /// Seconds of the last change.
        change_time: u64 = u64, u64;
        /// Between the fields.
        padding2: () = [u8; 8], [u8; 0];
        /// How many semaphores.
        count: u64 = u64, u32;
        /// Behind the fields.
        tail: () = [u8; 16], [u8; 8];
    }
    /// `struct msqid64_ds`; of 32-bit programs the upper half of each time stands behind the lower
    MsqIdDs [MsqIdDsX86_64 MsqIdDsX86] Opaque {
        /// Who may do what.
        perm: IpcPerm = IpcPermX86_64, IpcPermX86;
        /// Seconds of the last message sent.
        send_time: u64 = u64, u64;
        /// Of the last received.
        receive_time: u64 = u64, u64;
        /// Of the last change.
        change_time: u64 = u64, u64;
        /// How many bytes are in it.
        bytes: u64 = u64, u32;
        /// How many messages.
        messages: u64 = u64, u32;
        /// How many bytes it takes.
        most_bytes: u64 = u64, u32;
        /// Who sent last.
        last_sender: i32 = i32, i32;
        /// Who received last.
        last_receiver: i32 = i32, i32;
        /// Behind the fields.
        tail: () = [u8; 16], [u8; 8];
    }
    /// `struct shmid64_ds`; of 32-bit programs the upper half of each time stands behind the lower
    ShmIdDs [ShmIdDsX86_64 ShmIdDsX86] Opaque {
        /// Who may do what.
        perm: IpcPerm = IpcPermX86_64, IpcPermX86;
        /// Bytes.
        size: u64 = u64, u32;
        /// Seconds of the last attachment.
        attach_time: u64 = u64, u64;
        /// Of the last detachment.
        detach_time: u64 = u64, u64;
        /// Of the last change.
        change_time: u64 = u64, u64;
        /// Who made it.
        creator: i32 = i32, i32;
        /// Who used it last.
        last: i32 = i32, i32;
        /// How often it is attached.
        attached: u64 = u64, u32;
        /// Behind the fields.
        tail: () = [u8; 16], [u8; 8];
    }
    /// `struct shminfo64`: limits
    ShmInfo [ShmInfoX86_64 ShmInfoX86] Opaque {
        /// Of bytes of a segment.
        most_size: u64 = u64, u32;
        /// The other way round.
        least_size: u64 = u64, u32;
        /// Of segments.
        most_segments: u64 = u64, u32;
        /// Of them in one process.
        most_attached: u64 = u64, u32;
        /// Of all pages together.
        most_pages: u64 = u64, u32;
        /// Behind the fields.
        tail: () = [u8; 32], [u8; 16];
    }
    /// `struct shm_info`: what is there
    ShmUsage [ShmUsageX86_64 ShmUsageX86] Opaque {
        /// Segments.
        segments: u32 = u32, u32;
        /// Between the fields.
        padding: () = [u8; 4], [u8; 0];
        /// Pages.
        pages: u64 = u64, u32;
        /// Of them, in memory.
        resident: u64 = u64, u32;
        /// Behind the fields: swap.
        tail: () = [u8; 24], [u8; 12];
    }
    /// `struct mq_attr`
    MqAttr [MqAttrX86_64 MqAttrX86] Opaque {
        /// `O_NONBLOCK` or 0.
        flags: i64 = i64, i32;
        /// How many messages it takes.
        most: i64 = i64, i32;
        /// Of how many bytes.
        size: i64 = i64, i32;
        /// How many there are.
        count: i64 = i64, i32;
        /// Behind the fields.
        tail: () = [u8; 32], [u8; 16];
    }
}
