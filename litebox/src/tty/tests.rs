use alloc::sync::Arc;
use alloc::vec::Vec;
use litebox_common_linux::abi::ioctl::{TCGETS, TCSETS};

use super::line::Line;
use super::settings::{ICANON, Settings, VMIN, VTIME};
use super::{PtsFs, TerminalSignal, Terminals};
use crate::Error;
use crate::event::Events;
use crate::fs::{AnonInode, File, FileSystem, Inode, OpenHow};
use crate::io::{Dest, Source};

fn typed(line: &mut Line, text: &[u8]) -> Vec<TerminalSignal> {
    text.iter().filter_map(|b| line.type_byte(*b)).collect()
}

fn shown(line: &mut Line) -> Vec<u8> {
    let all = line.peek_output(usize::MAX);
    line.take_output(all.len());
    all
}

fn taken(line: &mut Line, most: usize) -> Vec<u8> {
    let some = line.peek_input(most);
    line.take_input(some.len());
    some
}

#[test]
fn lines_are_edited_before_they_are_read() {
    let mut line = Line::default();
    typed(&mut line, b"helo\x7flo wurld\x17world\r");
    assert_eq!(taken(&mut line, 100), b"hello world\n");
    assert_eq!(
        shown(&mut line),
        b"helo\x08 \x08lo wurld\x08 \x08\x08 \x08\x08 \x08\x08 \x08\x08 \x08world\r\n".to_vec()
    );
    typed(&mut line, b"gone\x15kept\nnext\n");
    assert_eq!(taken(&mut line, 2), b"ke");
    assert_eq!(taken(&mut line, 100), b"pt\n");
    assert_eq!(taken(&mut line, 100), b"next\n");
    assert!(!line.has_line());
}

#[test]
fn an_end_of_file_is_an_empty_line() {
    let mut line = Line::default();
    typed(&mut line, b"abc\x04\x04");
    assert_eq!(taken(&mut line, 100), b"abc");
    assert!(line.has_line());
    assert_eq!(taken(&mut line, 100), b"");
    assert!(!line.has_line());
}

#[test]
fn characters_send_signals_and_stop_output() {
    let mut line = Line::default();
    assert_eq!(typed(&mut line, b"lost\x03"), [TerminalSignal::Interrupt]);
    assert_eq!(shown(&mut line), b"^C");
    assert_eq!(typed(&mut line, b"\x1c\x1a"), [TerminalSignal::Quit, TerminalSignal::Suspend]);
    typed(&mut line, b"\x13");
    assert!(!line.takes_output());
    typed(&mut line, b"\x11\x16\x03\n");
    assert!(line.takes_output());
    assert_eq!(taken(&mut line, 100), b"\x03\n");
}

#[test]
fn raw_input_is_passed_on() {
    let mut line = Line::default();
    let settings = Settings { input: 0, output: 0, local: 0, ..Settings::default() };
    typed(&mut line, b"half");
    line.set(settings);
    typed(&mut line, b"\x03\r\n\x7f");
    assert_eq!(taken(&mut line, 100), b"half\x03\r\n\x7f");
    assert_eq!(Settings::from_bytes(&settings.to_bytes()), settings);
}

#[test]
fn input_and_echo_are_bounded() {
    let mut line = Line::default();
    for _ in 0..200_000 {
        line.type_byte(b'x');
    }
    line.type_byte(b'\n');
    assert_eq!(taken(&mut line, usize::MAX).len(), 4096);
    assert!(shown(&mut line).len() < 70_000);
}

fn pair() -> (Arc<Terminals>, Arc<dyn File>, Arc<dyn Inode>) {
    let terminals = Arc::<Terminals>::default();
    let master = terminals.open_master(AnonInode::shared("ptmx")).unwrap();
    let zero = 0i32.to_le_bytes();
    assert_eq!(master.ioctl(0x4004_5431, zero.as_ptr() as usize), Ok(0));
    let root = PtsFs::new(&terminals, None, 9).root();
    (terminals, master, root)
}

fn write(file: &Arc<dyn File>, bytes: &[u8]) -> crate::Result<usize> {
    file.write_at(&mut Source::kernel(bytes), 0)
}

fn read(file: &Arc<dyn File>) -> crate::Result<Vec<u8>> {
    let mut room = [0u8; 64];
    file.read_at(&mut Dest::kernel(&mut room), 0).map(|n| room[..n].to_vec())
}

#[test]
fn master_and_slave_talk() {
    let (terminals, master, root) = pair();
    assert_eq!(terminals.numbers(None), [0]);
    let name = root.lookup(b"0").unwrap();
    assert_eq!(name.metadata().unwrap().rdev, 0x8800);
    assert_eq!(read(&master), Err(Error::WouldBlock));
    let slave = name.clone().open(&OpenHow::default()).unwrap();
    assert_eq!(write(&slave, b"a\n"), Ok(2));
    assert_eq!(read(&master).unwrap(), b"a\r\n");
    assert_eq!(read(&slave), Err(Error::WouldBlock));
    assert_eq!(write(&master, b"b"), Ok(1));
    assert!(!slave.ready().contains(Events::IN));
    assert_eq!(write(&master, b"c\r"), Ok(2));
    assert!(slave.ready().contains(Events::IN));
    assert_eq!(read(&slave).unwrap(), b"bc\n");
    assert_eq!(read(&master).unwrap(), b"bc\r\n");
    drop(slave);
    assert_eq!(read(&master), Err(Error::Io));
    assert!(master.ready().contains(Events::HUP));
    let slave = name.open(&OpenHow::default()).unwrap();
    assert_eq!(read(&master), Err(Error::WouldBlock));
    drop(master);
    assert_eq!(read(&slave).unwrap(), b"");
    assert_eq!(write(&slave, b"x"), Err(Error::Io));
    assert_eq!(root.lookup(b"0").err(), Some(Error::NotFound));
}

#[test]
fn locked_slaves_do_not_open() {
    let terminals = Arc::<Terminals>::default();
    let _master = terminals.open_master(AnonInode::shared("ptmx")).unwrap();
    let root = PtsFs::new(&terminals, None, 9).root();
    assert_eq!(root.lookup(b"0").unwrap().open(&OpenHow::default()).err(), Some(Error::Io));
    for name in [&b"1"[..], b"00", b"+0", b"x", b"4294967296"] {
        assert_eq!(root.lookup(name).err(), Some(Error::NotFound));
    }
}

#[test]
fn raw_reads_wait_for_count_or_time() {
    let (_terminals, master, root) = pair();
    let slave = root.lookup(b"0").unwrap().open(&OpenHow::default()).unwrap();
    let mut raw = [0u8; 36];
    assert_eq!(slave.ioctl(TCGETS, raw.as_mut_ptr() as usize), Ok(0));
    let mut settings = Settings::from_bytes(&raw);
    settings.local &= !ICANON;
    settings.characters[VMIN] = 3;
    assert_eq!(slave.ioctl(TCSETS, settings.to_bytes().as_ptr() as usize), Ok(0));
    write(&master, b"ab").unwrap();
    assert_eq!(read(&slave), Err(Error::WouldBlock));
    write(&master, b"c").unwrap();
    assert_eq!(read(&slave).unwrap(), b"abc");
    settings.characters[VMIN] = 0;
    assert_eq!(slave.ioctl(TCSETS, settings.to_bytes().as_ptr() as usize), Ok(0));
    assert_eq!(read(&slave).unwrap(), b"");
    settings.characters[VTIME] = 1;
    assert_eq!(slave.ioctl(TCSETS, settings.to_bytes().as_ptr() as usize), Ok(0));
    assert_eq!(read(&slave), Err(Error::WouldBlock));
    assert!(slave.expire().is_some());
}
