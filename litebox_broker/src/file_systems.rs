//! Which file systems of the host hold files of users.
//!
//! The others (/proc, /sys, cgroups, and whatever a kernel to come invents) are ways to control a kernel, and no grant
//! leads there. They are not listed: a list of what is dangerous is never complete.

use std::os::fd::BorrowedFd;

use rustix::io::Errno;

use crate::beneath::Result;

/// `f_type` of statfs(2), sorted. Of `linux/magic.h`, of the file systems that keep their number to themselves, and of
/// those that are made outside of Linux.
const OF_USERS: [u32; 83] = [
    0x0000_002f, // qnx4
    0x0000_0187, // autofs: where others are mounted when somebody looks
    0x0000_137d, // ext
    0x0000_137f, // minix
    0x0000_138f, // minix, names of 30 bytes
    0x0000_2468, // minix 2
    0x0000_2478, // minix 2, names of 30 bytes
    0x0000_3434, // nilfs2
    0x0000_4244, // hfs
    0x0000_482b, // hfs+
    0x0000_4858, // hfsx
    0x0000_4d44, // vfat
    0x0000_4d5a, // minix 3
    0x0000_517b, // smb
    0x0000_564c, // ncp
    0x0000_6969, // nfs
    0x0000_7275, // romfs
    0x0000_72b6, // jffs2
    0x0000_9660, // iso9660
    0x0000_adf5, // adfs
    0x0000_adff, // affs
    0x0000_ef51, // ext2 of before
    0x0000_ef53, // ext2, ext3, ext4
    0x0000_f15f, // ecryptfs
    0x0001_1954, // ufs
    0x0041_4a53, // efs
    0x00c0_ffee, // hostfs of User Mode Linux
    0x00c3_6400, // ceph
    0x0102_1994, // tmpfs
    0x0102_1997, // 9p
    0x0116_1970, // gfs2
    0x012f_f7b4, // xenix
    0x012f_f7b5, // system V 4
    0x012f_f7b6, // system V 2
    0x012f_f7b7, // coherent
    0x0131_11a8, // ibrix
    0x0bd0_0bd0, // lustre
    0x1501_3346, // udf
    0x1954_0119, // ufs2
    0x1983_0326, // beegfs
    0x1bad_face, // bfs
    0x2003_0528, // orangefs
    0x2011_bab0, // exfat
    0x2405_1905, // ubifs
    0x28cd_3d45, // cramfs
    0x2fc1_2fc1, // zfs
    0x3153_464a, // jfs
    0x4246_5331, // befs
    0x4253_584e, // apfs
    0x453d_cd28, // cramfs, the other byte order
    0x4750_4653, // gpfs
    0x5234_5362, // reiser4
    0x5265_4973, // reiserfs
    0x5346_414f, // afs
    0x5346_4846, // wslfs
    0x5346_544e, // ntfs
    0x5846_5342, // xfs
    0x5941_ff53, // yaffs
    0x5a4f_4653, // zonefs
    0x6163_6673, // acfs
    0x6175_6673, // aufs
    0x6573_5546, // fuse
    0x6b41_4653, // kafs
    0x7366_746e, // ntfs3
    0x7371_7368, // squashfs
    0x7375_7245, // coda
    0x7461_636f, // ocfs2
    0x786f_4256, // vboxsf
    0x794c_7630, // overlay
    0x7c7c_6673, // prl_fs
    0x8584_58f6, // ramfs
    0x9123_683e, // btrfs
    0xa501_fcf5, // vxfs
    0xaad7_aaea, // panfs
    0xbacb_acbc, // vmhgfs
    0xbeef_dead, // snfs
    0xc299_3d87, // omfs
    0xca45_1a4e, // bcachefs
    0xe0f5_e1e2, // erofs
    0xf2f5_2010, // f2fs
    0xf995_e849, // hpfs
    0xfe53_4d42, // smb 2 and 3
    0xff53_4d42, // cifs
];

/// Whether what is open as `fd` lies in such a file system.
pub fn holds_files_of_users(fd: BorrowedFd<'_>) -> Result<bool> {
    Ok(is_of_users(rustix::fs::fstatfs(fd)?.f_type as u32))
}

/// `EACCES` unless what is open as `fd` lies in a file system with files of users.
pub fn require_files_of_users(fd: BorrowedFd<'_>) -> Result<()> {
    if holds_files_of_users(fd)? { Ok(()) } else { Err(Errno::ACCESS) }
}

fn is_of_users(magic: u32) -> bool {
    OF_USERS.binary_search(&magic).is_ok()
}

#[cfg(test)]
mod tests {
    use super::{OF_USERS, is_of_users};

    /// Those of Linux through which a kernel, a device or another process is controlled.
    const OF_KERNELS: [(&str, u32); 38] = [
        ("proc", 0x9fa0),
        ("sysfs", 0x6265_6572),
        ("debugfs", 0x6462_6720),
        ("tracefs", 0x7472_6163),
        ("cgroup", 0x0027_e0eb),
        ("cgroup2", 0x6367_7270),
        ("securityfs", 0x7363_6673),
        ("selinuxfs", 0xf97c_ff8c),
        ("smackfs", 0x4341_5d53),
        ("apparmorfs", 0x5a3c_69f0),
        ("bpf", 0xcafe_4a11),
        ("configfs", 0x6265_6570),
        ("efivarfs", 0xde5e_81e4),
        ("pstore", 0x6165_676c),
        ("fusectl", 0x6573_5543),
        ("binfmt_misc", 0x4249_4e4d),
        ("nsfs", 0x6e73_6673),
        ("pidfs", 0x5049_4446),
        ("mqueue", 0x1980_0202),
        ("devpts", 0x1cd1),
        ("hugetlbfs", 0x9584_58f6),
        ("resctrl", 0x0765_5821),
        ("rpc_pipefs", 0x6759_6969),
        ("nfsd", 0x6e66_7364),
        ("dlmfs", 0x76a9_f425),
        ("functionfs", 0x0a64_7361),
        ("gadgetfs", 0xaee7_1ee7),
        ("binderfs", 0x6c6f_6f70),
        ("sockfs", 0x534f_434b),
        ("pipefs", 0x5049_5045),
        ("anon_inode", 0x0904_1934),
        ("usbfs", 0x9fa2),
        ("openpromfs", 0x9fa1),
        ("xenfs", 0xabba_1974),
        ("devmem", 0x454d_444d),
        ("dma_buf", 0x444d_4142),
        ("secretmem", 0x5345_434d),
        ("bdev", 0x6264_6576),
    ];

    #[test]
    fn no_switches_of_kernels_are_among_the_files_of_users() {
        assert!(OF_USERS.is_sorted());
        for (name, magic) in OF_KERNELS {
            assert!(!is_of_users(magic), "{name}");
        }
    }

    #[test]
    fn where_people_keep_their_files_is_known() {
        // ext4, xfs, btrfs, tmpfs, overlay, nfs, fuse, 9p, zfs, bcachefs.
        for magic in [
            0xef53,
            0x5846_5342,
            0x9123_683e,
            0x0102_1994,
            0x794c_7630,
            0x6969,
            0x6573_5546,
            0x0102_1997,
            0x2fc1_2fc1,
            0xca45_1a4e,
        ] {
            assert!(is_of_users(magic), "{magic:#x}");
        }
    }

    /// What this host has mounted for itself is refused, by the real call.
    #[test]
    fn kernel_file_systems_of_this_host_are_refused() {
        use std::os::fd::AsFd;
        for place in ["/proc", "/proc/self", "/sys", "/sys/fs/cgroup", "/sys/kernel/debug", "/dev/pts", "/dev/mqueue"] {
            let Ok(dir) = std::fs::File::open(place) else { continue };
            // Where nothing is mounted there, it is a directory of another file system.
            let of_kernel = rustix::fs::fstatfs(&dir)
                .is_ok_and(|stat| OF_KERNELS.iter().any(|(_, magic)| *magic == stat.f_type as u32));
            assert_eq!(super::holds_files_of_users(dir.as_fd()), Ok(!of_kernel), "{place}");
            assert!(of_kernel || !place.starts_with("/proc"));
        }
    }
}
