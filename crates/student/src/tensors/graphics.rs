//! Graphics adapters through wgpu, found and opened before Burn is given one: Burn panics where there is none.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use burn::backend::wgpu::graphics::AutoGraphicsApi;
use burn::backend::wgpu::{RuntimeOptions, WgpuDevice, try_init_setup};
use burn::backend::{CubeDevice, DispatchDevice, WgpuDeviceKind};
use burn::tensor::{Device, DeviceType};

/// An adapter that is ready.
#[derive(Clone, Debug)]
pub struct Opened {
    pub device: Device,
    /// Bytes of the largest buffer that a program on it may use.
    pub largest_buffer: u64,
}

/// Opens an adapter by its number among the machine's (those of [`adapters`]), once in a process, or says why it cannot
/// be used.
pub fn open(number: usize) -> Result<Opened, String> {
    /// Burn refuses to open an adapter twice.
    static OPENED: Mutex<BTreeMap<usize, Opened>> = Mutex::new(BTreeMap::new());
    let mut already = OPENED.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(opened) = already.get(&number) {
        return Ok(opened.clone());
    }
    let adapters = adapters();
    let Some(adapter) = adapters.get(number) else {
        return Err(match adapters.as_slice() {
            [] => {
                "this machine has no graphics adapter with a driver for Vulkan, Metal, DirectX 12 or OpenGL".to_owned()
            }
            _ => format!("this machine has {} adapters: {}", adapters.len(), in_words(&adapters)),
        });
    };
    let failed = |error: &dyn std::fmt::Display| format!("the adapter could not be opened: {error}");
    let options = RuntimeOptions::try_default().map_err(|error| failed(&error))?;
    let setup = try_init_setup::<AutoGraphicsApi>(adapter, options).map_err(|error| failed(&error))?;
    let limits = setup.device.limits();
    let largest_buffer = limits.max_storage_buffer_binding_size.min(limits.max_buffer_size);
    let opened = Opened { device: Device::from(adapter.clone()), largest_buffer };
    already.insert(number, opened.clone());
    Ok(opened)
}

/// The machine's adapters on the graphics interface that Burn settles on, the most able kind first.
fn adapters() -> Vec<WgpuDevice> {
    let mut found: Vec<WgpuDevice> = Device::enumerate(DeviceType::Wgpu)
        .into_iter()
        .filter_map(|device| match device.as_dispatch() {
            DispatchDevice::Cube(CubeDevice::Wgpu(adapter)) => Some(adapter.clone()),
            _ => None,
        })
        .collect();
    found.sort_by_key(|adapter| match adapter.kind {
        WgpuDeviceKind::DiscreteGpu(number) => (0, number),
        WgpuDeviceKind::IntegratedGpu(number) => (1, number),
        WgpuDeviceKind::VirtualGpu(number) => (2, number),
        WgpuDeviceKind::Other(number) => (3, number),
        _ => (4, 0),
    });
    found
}

/// `wgpu:0 is DiscreteGpu(0), wgpu:1 is Cpu`.
fn in_words(adapters: &[WgpuDevice]) -> String {
    let one = |(number, adapter): (usize, &WgpuDevice)| format!("wgpu:{number} is {:?}", adapter.kind);
    adapters.iter().enumerate().map(one).collect::<Vec<_>>().join(", ")
}
