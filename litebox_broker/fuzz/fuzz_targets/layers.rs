//! What a sandbox says of its changes becomes a layer of plain paths, or an error.
#![no_main]

use litebox_layer::archive::Archive;
use litebox_layer::read::Layer;
use litebox_layer::stream::receive;

libfuzzer_sys::fuzz_target!(|told: &[u8]| {
    let mut archive = Archive::new(Vec::new());
    let _ = receive(&mut &*told, 1 << 20, &mut archive);
    let Ok(layer) = archive.finish() else { return };
    let Ok(mut layer) = Layer::new(&*layer) else { return };
    while let Ok(Some(item)) = layer.next_item() {
        assert!(item.path.split(|byte| *byte == b'/').all(|name| name != b".." && !name.contains(&0)));
    }
    // Whatever somebody else wrote is a layer or an error, too.
    if let Ok(mut layer) = Layer::new(told) {
        while let Ok(Some(_)) = layer.next_item() {}
    }
});
