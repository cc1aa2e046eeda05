use alloc::sync::Arc;
use alloc::vec;

use super::{device_number, major_minor, open_device};
use crate::Error;
use crate::fs::{Access, AnonInode, File, Inode, Mapping, OpenFile, StatusFlags};
use crate::io::{Dest, Source};

fn open(major: u32, minor: u32) -> crate::Result<Arc<dyn File>> {
    let node: Arc<dyn Inode> = AnonInode::shared("device");
    open_device(&node, device_number(major, minor), &Arc::default())
}

#[test]
fn device_numbers_are_packed_as_linux_packs_them() {
    assert_eq!(device_number(1, 3), 0x103);
    assert_eq!(device_number(254, 0), 0xfe00);
    assert_eq!(device_number(10, 259), 0x10_0a03);
    for pair in [(1, 3), (4095, 255), (4096, 256), (10, 259), (0xffff_ffff, 0xffff_ffff)] {
        assert_eq!(major_minor(device_number(pair.0, pair.1)), pair);
    }
}

#[test]
fn null_ends_and_swallows() {
    let null = open(1, 3).unwrap();
    let mut buf = [7u8; 8];
    assert_eq!(null.read_at(&mut Dest::kernel(&mut buf), 0), Ok(0));
    assert_eq!(null.write_at(&mut Source::kernel(&buf), 0), Ok(8));
    // The bytes are not looked at; only the range counts.
    assert_eq!(null.write_at(&mut Source::user(0x10_0000_0000, 1 << 40), 0), Ok(1 << 40));
    assert_eq!(null.write_at(&mut Source::user(usize::MAX - 10, 5), 0), Err(Error::Fault));
    assert_eq!(null.mapping().err(), Some(Error::NoDevice));
}

#[test]
fn zero_gives_zeros_and_full_takes_nothing() {
    let (zero, full) = (open(1, 5).unwrap(), open(1, 7).unwrap());
    for device in [&zero, &full] {
        let mut buf = [7u8; 100];
        assert_eq!(device.read_at(&mut Dest::kernel(&mut buf), 0), Ok(100));
        assert_eq!(buf, [0u8; 100]);
    }
    assert_eq!(zero.write_at(&mut Source::kernel(b"abc"), 0), Ok(3));
    assert_eq!(full.write_at(&mut Source::kernel(b"abc"), 0), Err(Error::NoSpace));
    assert!(matches!(zero.mapping(), Ok(Mapping::Anonymous)));
    assert_eq!(full.mapping().err(), Some(Error::NoDevice));
}

#[test]
fn random_bytes_differ_and_reads_are_bounded() {
    let random = open(1, 9).unwrap();
    let (mut a, mut b) = (vec![0u8; 3000], vec![0u8; 3000]);
    assert_eq!(random.read_at(&mut Dest::kernel(&mut a), 0), Ok(3000));
    assert_eq!(random.read_at(&mut Dest::kernel(&mut b), 0), Ok(3000));
    assert_ne!(a, b);
    assert_eq!(random.write_at(&mut Source::kernel(&a), 0), Ok(3000));
    assert_eq!(random.read_at(&mut Dest::user(0x10, 1), 0), Err(Error::Fault));
    let mut big = vec![0u8; 33 << 20];
    assert_eq!(random.read_at(&mut Dest::kernel(&mut big), 0), Ok((32 << 20) - 1));
}

#[test]
fn offsets_of_devices_stay_zero() {
    let zero = open(1, 5).unwrap();
    let opened = OpenFile::new(zero, Access::READ | Access::WRITE, StatusFlags::APPEND, None, 1);
    let mut buf = [0u8; 10];
    assert_eq!(opened.read(&mut Dest::kernel(&mut buf)), Ok(10));
    assert_eq!(opened.write(&mut Source::kernel(&buf)), Ok(10));
    assert_eq!(*opened.offset(), 0);
}

#[test]
fn nothing_is_behind_other_numbers() {
    assert_eq!(open(1, 1).err(), Some(Error::NoSuchDevice));
    assert_eq!(open(5, 0).err(), Some(Error::NoSuchDevice));
}

#[test]
fn dev_is_a_memory_file_system_with_nodes() {
    let arena = crate::mm::arena::Arena::new();
    let attr = crate::fs::NewAttr { permissions: 0o755, ..crate::fs::NewAttr::default() };
    let root = crate::fs::FileSystem::root(&*crate::fs::memory::MemoryFs::new(9, &arena, None, attr));
    super::populate(&root).unwrap();
    let null = root.lookup(b"null").unwrap().metadata().unwrap();
    assert_eq!((null.mode, null.rdev, null.nlink), (0o020_666, device_number(1, 3), 1));
    assert_eq!(root.lookup(b"stdin").unwrap().read_link().unwrap(), b"/proc/self/fd/0");
    assert_eq!(root.lookup(b"shm").unwrap().metadata().unwrap().mode, 0o041_777);
    assert_eq!(root.lookup(b"sda").err(), Some(Error::NotFound));
}
